"""What an embedder is: images and text in, vectors of length 1 out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mmsearch_app.inference import Content

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Content", "Embedder", "check_vectors"]


@runtime_checkable
class Embedder(Protocol):
    """A model that puts pictures and words into one vector space.

    Constructing one is cheap: weights load at the first call and once per process.
    An embedder is called from several threads and guards itself.

    Three members are optional. `warm_up()` downloads what is missing and loads it, which a query
    never does. `batches_itself = True` says that queries of several threads gain nothing from
    being embedded together, as with a model server that sees to that. `settled = False` says
    that the fingerprint is not known before documents were embedded once.
    """

    dimension: int
    """Length of every vector."""

    fingerprint: str
    """Names model, revision, preprocessing and dimension: vectors of two never mix."""

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Embed what is searched; shape (n, dimension), finite, rows of length 1."""
        ...

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Embed what is asked; the same shape. Picture, words, or both composed."""
        ...


def check_vectors(vectors: NDArray[np.float32], count: int, *, embedder: Embedder) -> None:
    """Check that `embedder` returned `count` finite vectors of its dimension.

    Raises ValueError.
    """
    import numpy as np

    expected, name = (count, embedder.dimension), type(embedder).__name__
    if vectors.shape != expected:
        msg = f"{name} returned an array of shape {vectors.shape}, not {expected}."
        raise ValueError(msg)
    if not np.isfinite(vectors).all():
        msg = f"{name} returned numbers that are not finite."
        raise ValueError(msg)
