"""Embedding a batch of documents, so that neither a bad picture nor a bad model spoils it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.embedders import check_vectors
from mmsearch_app.indexing.documents import Document
from mmsearch_app.inference import Content
from mmsearch_app.models import Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmsearch_app.embedders import Embedder

from typing import TYPE_CHECKING

__all__ = ["EmbedderDown", "embed_each", "fingerprint_of", "write_each"]

log = logging.getLogger(__name__)

_TOLERANCE = 1e-2
"""How far from 1 the length of a vector may be: half precision loses about 1e-3."""


class EmbedderDown(Exception):
    """The embedder fails for every picture: wait, it is not the pictures' fault."""


def fingerprint_of(embedder: Embedder) -> str:
    """Its fingerprint, before anything is indexed by it.

    A model that is only known by what was downloaded is downloaded first. Raises EmbedderDown.
    """
    if not getattr(embedder, "settled", True):
        try:
            embedder.embed_documents([_plain()])
        except Exception as error:
            raise _down(error) from error
    return embedder.fingerprint


def embed_each(
    batch: Sequence[Document],
) -> tuple[dict[str, NDArray[np.float32]], list[tuple[Entry, str]]]:
    """Embed a batch; when that fails, one by one, so that one bad picture spoils no other.

    Returns vectors by key, and the failures. Raises EmbedderDown when not even a plain grey
    picture can be embedded: then no picture is to blame.
    """
    if not batch:
        return {}, []
    try:
        vectors = _embed([document.content for document in batch])
    except Exception as error:
        _blame_pictures(error)
        if len(batch) == 1:
            return {}, [(batch[0].entry, f"{type(error).__name__}: {error}")]
        log.warning("A batch of %d cannot be embedded, trying each: %s", len(batch), error)
        return _embed_singly(batch)
    return {d.entry.key: vector for d, vector in zip(batch, vectors, strict=True)}, []


def _embed_singly(
    batch: Sequence[Document],
) -> tuple[dict[str, NDArray[np.float32]], list[tuple[Entry, str]]]:
    made: dict[str, NDArray[np.float32]] = {}
    failures: list[tuple[Entry, str]] = []
    for document in batch:
        one, failure = embed_each([document])
        made |= one
        failures += failure
    return made, failures


def _blame_pictures(error: Exception) -> None:
    """Raise EmbedderDown, unless the embedder works for a picture without any difficulty."""
    try:
        _embed([_plain()])
    except Exception as again:
        raise _down(error) from again


def _plain() -> Content:
    from PIL import Image

    return Content(image=Image.new("RGB", (64, 64), "grey"))


def _down(error: Exception) -> EmbedderDown:
    return EmbedderDown(f"{type(get_embedder()).__name__} does not work: {error}")


def _embed(contents: Sequence[Content]) -> NDArray[np.float32]:
    """Embed documents and check what the embedder returned: (n, dimension), finite, length 1.

    Raises ValueError when it broke its contract, and whatever the embedder raises.
    """
    import numpy as np

    embedder = get_embedder()
    vectors = np.asarray(embedder.embed_documents(contents), dtype=np.float32)
    check_vectors(vectors, len(contents), embedder=embedder)
    lengths = np.linalg.norm(vectors, axis=1)
    if (abs(lengths - 1) > _TOLERANCE).any():
        msg = f"{type(embedder).__name__} returned vectors of length {lengths.max():.3g}, not 1."
        raise ValueError(msg)
    return vectors


def write_each(
    batch: Sequence[Document], vectors: Mapping[str, NDArray[np.float32]], *, generation: str
) -> tuple[list[Document], list[tuple[Entry, str]]]:
    """Upsert those documents that have a vector; when a value is refused, one by one.

    Returns what was written, and the failures: a filter's value that cannot be kept, for
    example. Raises IndexFault when the index is away.
    """
    batch = [document for document in batch if document.entry.key in vectors]
    if not batch:
        return [], []
    records = [document.record(vectors[document.entry.key]) for document in batch]
    try:
        get_index().upsert(records, generation=generation)
    except ValueError as error:
        if len(batch) == 1:
            return [], [(batch[0].entry, f"{type(error).__name__}: {error}")]
        log.warning("A batch of %d cannot be written, trying each: %s", len(batch), error)
        return _write_singly(batch, vectors, generation)
    return list(batch), []


def _write_singly(
    batch: Sequence[Document], vectors: Mapping[str, NDArray[np.float32]], generation: str
) -> tuple[list[Document], list[tuple[Entry, str]]]:
    done: list[Document] = []
    failures: list[tuple[Entry, str]] = []
    for document in batch:
        written, failure = write_each([document], vectors, generation=generation)
        done += written
        failures += failure
    return done, failures
