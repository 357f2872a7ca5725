"""The protocol of embedders: images and texts in, vectors of length 1 out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.inference import Content

__all__ = ["Content", "Embedder", "check_vectors", "scale_for"]


@runtime_checkable
class Embedder(Protocol):
    """A model that maps images and texts to one vector space.

    Constructing one must be cheap: load weights at the first call, once per process. Threads
    call it at the same time.

    Four members are optional. `warm_up()` downloads what is missing, which a query never does,
    and loads the model. `batches_itself = True` says that joining the queries of several threads
    gains nothing, for example because a model server does that. `settled = False` says that the
    fingerprint is not final until documents have been embedded once. `image_side = 448` says that
    it sees no more of an image than so many pixels on the shorter side show: at least twice the
    side that the model reads. Stored images of any size are then read several times faster.

    `aspect_of`, `describe_images` and `compose_queries`, together, let searches reuse what the
    model took from an image: see `mmsearch_app.embedders.composing.Composes`.
    """

    dimension: int
    """Number of components of every vector."""

    fingerprint: str
    """Names model, revision, preprocessing and dimension.

    Vectors are only compared with vectors of the same fingerprint.
    """

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Embed what is searched; return finite rows of length 1, shape (n, dimension)."""
        ...

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Embed queries: an image, a text, or both composed. Same shape as documents."""
        ...


def scale_for(embedder: Embedder) -> dict[str, int]:
    """Return how large stored images are opened for a model, as arguments of `open_image`.

    The model scales what is up to three times as long itself, at the price of one resampling, not
    two.
    """
    side: int | None = getattr(embedder, "image_side", None)
    return {} if side is None else {"enough": side, "longest_side": 3 * side}


def check_vectors(vectors: NDArray[np.float32], count: int, *, embedder: Embedder) -> None:
    """Raise ValueError unless `vectors` are `count` finite vectors of the embedder's dimension."""
    expected, name = (count, embedder.dimension), type(embedder).__name__
    if vectors.shape != expected:
        msg = f"{name} returned an array of shape {vectors.shape}, not {expected}."
        raise ValueError(msg)
    if not np.isfinite(vectors).all():
        msg = f"{name} returned numbers that are not finite."
        raise ValueError(msg)
