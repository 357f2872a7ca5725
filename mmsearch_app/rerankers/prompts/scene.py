"""What one prompt is about: a query and candidates, as words and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmsearch_app.inference import Content
from mmsearch_app.rerankers.prompts.collage import Layout, draw
from mmsearch_app.rerankers.replies.schemas import labels_for
from mmsearch_app.rerankers.vlm import Capabilities, PromptPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A query and candidates."""

    query: Content
    candidates: tuple[Content, ...]
    layout: Layout
    caption: str = ""
    """What the model saw in the query image; "" if it was not asked."""
    language: str = ""
    """Of the reason, such as "German"; "" leaves it to the model."""

    @property
    def words(self) -> str:
        """What the visitor wrote."""
        return self.query.text or ""

    @property
    def titles(self) -> tuple[str, ...]:
        """What the shop calls each candidate, or ""."""
        return tuple(candidate.text or "" for candidate in self.candidates)

    @property
    def labels(self) -> str:
        """One letter per candidate. Raises ValueError for more than 26."""
        return labels_for(len(self.candidates))

    @property
    def has_image(self) -> bool:
        """Whether the query has an image."""
        return self.query.image is not None

    def of(self, places: Sequence[int]) -> Scene:
        """The same question about some of the candidates, in the order given."""
        return replace(self, candidates=tuple(self.candidates[place] for place in places))

    def show_all(self, capabilities: Capabilities) -> tuple[PromptPart, ...]:
        """All images with their labels: each by itself if the model takes so many, else a collage.

        Empty if there is no image at all.
        """
        shown = [candidate.image for candidate in self.candidates]
        images = [self.query.image, *shown] if self.has_image else shown
        if not any(images):
            return ()
        if len(images) > capabilities.max_images:
            grid = self.layout.choose(len(images), max_pixels=capabilities.max_pixels)
            return (draw(self.query.image, shown, labels=self.labels, grid=grid),)
        parts: list[PromptPart] = ["QUERY:", self.query.image] if self.query.image else []
        for label, image in zip(self.labels, shown, strict=True):
            parts += [f"{label}:", "no picture" if image is None else image]
        return tuple(parts)

    def show_pair(self, place: int, capabilities: Capabilities) -> tuple[PromptPart, ...]:
        """The images of the query and of one candidate, with the words QUERY and CANDIDATE."""
        named = [("QUERY", self.query.image), ("CANDIDATE", self.candidates[place].image)]
        images = [(name, image) for name, image in named if image is not None]
        if len(images) > capabilities.max_images:
            grid = replace(self.layout.choose(2, max_pixels=capabilities.max_pixels), rows=1)
            return (draw(self.query.image, [images[1][1]], labels=["CANDIDATE"], grid=grid),)
        return tuple(part for name, image in images for part in (f"{name}:", image))
