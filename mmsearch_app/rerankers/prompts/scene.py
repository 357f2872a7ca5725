"""What is put before a model: a query and candidates, as words and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmsearch_app.inference import Content
from mmsearch_app.rerankers.prompts.collage import Layout, draw
from mmsearch_app.rerankers.replies.schemas import labels_for
from mmsearch_app.rerankers.vlm import Capabilities, PromptPart

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Scene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One question: at most as many candidates as a prompt takes."""

    query: Content
    candidates: tuple[Content, ...]
    layout: Layout
    caption: str = ""
    """What the model saw in the query picture."""
    language: str = ""
    """In which the reason is written; "" leaves it to the model."""

    @property
    def words(self) -> str:
        """What the visitor wrote."""
        return self.query.text or ""

    @property
    def titles(self) -> tuple[str, ...]:
        """What the shop calls the candidates; "" where it says nothing."""
        return tuple(candidate.text or "" for candidate in self.candidates)

    @property
    def labels(self) -> str:
        """One letter a candidate."""
        return labels_for(len(self.candidates))

    @property
    def pictured(self) -> bool:
        """Whether the query has a picture."""
        return self.query.image is not None

    def of(self, places: Sequence[int]) -> Scene:
        """The same question about some of the candidates, in that order."""
        return replace(self, candidates=tuple(self.candidates[place] for place in places))

    def show_all(self, capabilities: Capabilities) -> tuple[PromptPart, ...]:
        """The pictures, labelled: as they are where the model takes so many, else a collage."""
        shown = [candidate.image for candidate in self.candidates]
        pictures = [self.query.image, *shown] if self.pictured else shown
        if not any(pictures):
            return ()
        if len(pictures) > capabilities.max_images:
            grid = self.layout.choose(len(pictures), max_pixels=capabilities.max_pixels)
            return (draw(self.query.image, shown, labels=self.labels, grid=grid),)
        parts: list[PromptPart] = ["QUERY:", self.query.image] if self.query.image else []
        for label, picture in zip(self.labels, shown, strict=True):
            parts += [f"{label}:", "no picture" if picture is None else picture]
        return tuple(parts)

    def show_pair(self, place: int, capabilities: Capabilities) -> tuple[PromptPart, ...]:
        """The query picture and that of one candidate, with the words QUERY and CANDIDATE."""
        named = [("QUERY", self.query.image), ("CANDIDATE", self.candidates[place].image)]
        pictures = [(name, picture) for name, picture in named if picture is not None]
        if len(pictures) > capabilities.max_images:
            return (self._draw_pair(pictures[1][1], capabilities),)
        return tuple(part for name, picture in pictures for part in (f"{name}:", picture))

    def _draw_pair(self, candidate: Image.Image, capabilities: Capabilities) -> Image.Image:
        grid = replace(self.layout.choose(2, max_pixels=capabilities.max_pixels), rows=1)
        return draw(self.query.image, [candidate], labels=["CANDIDATE"], grid=grid)
