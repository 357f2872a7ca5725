"""Queries composed of an image that the model has described before, and of new words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.embedders.batching import Joiner

if TYPE_CHECKING:
    from PIL.Image import Image

DescribedImage: TypeAlias = tuple[NDArray[np.float32], str]
"""A row of `describe_images`, and the words beside that image."""


@runtime_checkable
class Composes(Protocol):
    """What an embedder may offer if it reads image and words one after the other.

    `compose_queries(describe_images([image], [aspect_of(text)]), [text])` returns the same as
    `embed_queries` for the image and the text together. Then a search of "like this, but …" with
    other words neither opens nor embeds the image again.
    """

    def aspect_of(self, text: str) -> str:
        """Return what of the words changes the description of an image beside them, such as "red".

        Words of the same aspect share a description; "" for words that change nothing.
        """
        ...

    def describe_images(
        self, images: Sequence[Image], aspects: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return all that a query takes from each image, as finite rows: shape (n, any)."""
        ...

    def compose_queries(
        self, images: NDArray[np.float32], texts: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return the vectors of rows of `describe_images` with words, shape (n, dimension)."""
        ...


class Composer:
    """Calls these methods for the threads of a process, joining what they ask at the same time.

    They raise what the embedder raises, TimeoutError if it was busy for too long, and ValueError
    if it returns something else than promised.
    """

    def __init__(self, embedder: Composes, *, most: int, seconds: float) -> None:
        self.embedder = embedder
        direct = getattr(embedder, "batches_itself", False)
        limits: dict[str, Any] = {"most": most, "seconds": seconds, "direct": direct}
        self._describing: Joiner[tuple[Image, str]] = Joiner(self._describe, **limits)
        self._composing: Joiner[DescribedImage] = Joiner(self._compose, **limits)

    def aspect_of(self, text: str) -> str:
        """Return what of the words changes the description of an image."""
        return self.embedder.aspect_of(text)

    def describe(self, image: Image, aspect: str) -> NDArray[np.float32]:
        """Return all that a query takes from the image, one row."""
        rows = np.asarray(self._describing.run([(image, aspect)]), dtype=np.float32)
        if rows.ndim != 2 or len(rows) != 1 or not np.isfinite(rows).all():
            msg = f"describe_images returned an array of shape {rows.shape} for one image."
            raise ValueError(msg)
        return np.asarray(rows[0])

    def compose(self, parts: Sequence[DescribedImage]) -> NDArray[np.float32]:
        """Return the vectors of the described images with words, shape (n, dimension)."""
        return self._composing.run(parts)

    def _describe(self, asked: Sequence[tuple[Image, str]]) -> NDArray[np.float32]:
        images, aspects = zip(*asked, strict=True)
        return self.embedder.describe_images(images, aspects)

    def _compose(self, parts: Sequence[DescribedImage]) -> NDArray[np.float32]:
        rows, texts = zip(*parts, strict=True)
        return self.embedder.compose_queries(np.stack(rows), texts)


def find_composer(embedder: Embedder, *, most: int, seconds: float) -> Composer | None:
    """Return the composer of an embedder that offers this, else None."""
    if not isinstance(embedder, Composes):
        return None
    return Composer(embedder, most=most, seconds=seconds)
