"""What an embedder is: pictures and words in, vectors of length 1 out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["Content", "Embedder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is embedded or shown to a model; at least one of the two is given.

    `image` is RGB, already safe, upright and flattened (see `mmsearch_app.images`).
    `text` is untrusted: an embedder never opens it as an address or a path.
    """

    image: Image.Image | None = None
    text: str | None = None


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
