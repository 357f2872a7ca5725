"""Embed and write a batch of documents, so that one bad document does not spoil the batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.embedders import check_vectors
from mmsearch_app.indexing.documents import Document, Failure, describe_error
from mmsearch_app.indexing.lanes import note_progress
from mmsearch_app.inference import Content

if TYPE_CHECKING:
    from mmsearch_app.embedders import Embedder
    from mmsearch_app.indexing.documents import Vector

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_TOLERANCE = 1e-2
"""How far from 1 the length of a vector may be: half precision loses about 1e-3."""


class EmbedderDown(Exception):
    """The embedder fails for every image: retry later, no image is at fault."""


def fingerprint_of(embedder: Embedder) -> str:
    """Return the embedder's final fingerprint. Raises EmbedderDown.

    The fingerprint of some models depends on the files they download: an embedder that is not
    yet `settled` embeds one image first, which downloads them.
    """
    if not getattr(embedder, "settled", True):
        try:
            embedder.embed_documents([_grey_square()])
        except Exception as error:
            raise _embedder_down(error) from error
    return embedder.fingerprint


def embed_each(batch: Sequence[Document]) -> tuple[dict[str, Vector], list[Failure]]:
    """Embed the documents; return vectors by entry key, and the failures.

    Raises EmbedderDown if not even a plain grey image can be embedded.
    """

    def embed(documents: Sequence[Document]) -> list[tuple[str, Vector]]:
        vectors = _embed([document.content for document in documents])
        return [(d.entry.key, vector) for d, vector in zip(documents, vectors, strict=True)]

    pairs, failures = _together_or_each(batch, embed, check=_check_embedder)
    return dict(pairs), failures


def write_each(
    batch: Sequence[Document], vectors: Mapping[str, Vector], *, generation: str
) -> tuple[list[Document], list[Failure]]:
    """Upsert the documents that have a vector; return what was written, and the failures.

    A failure is a value that the index refuses, of a filter for example. Raises IndexFault if
    the index is unavailable.
    """

    def write(documents: Sequence[Document]) -> Sequence[Document]:
        records = [document.record(vectors[document.entry.key]) for document in documents]
        get_index().upsert(records, generation=generation)
        return documents

    embedded = [document for document in batch if document.entry.key in vectors]
    return _together_or_each(embedded, write, check=_reraise_unless_value)


def _together_or_each(
    batch: Sequence[Document],
    work: Callable[[Sequence[Document]], Sequence[_T]],
    *,
    check: Callable[[Exception], None],
) -> tuple[list[_T], list[Failure]]:
    """Run `work` on the whole batch or, if that raises, on each document by itself.

    `check` is called with the exception and raises if no document can be at fault.
    """
    if not batch:
        return [], []
    try:
        return list(work(batch)), []
    except Exception as error:
        check(error)
        if len(batch) == 1:
            return [], [(batch[0].entry, describe_error(error))]
        log.warning("A batch of %d failed, trying its images one by one: %s", len(batch), error)
    done: list[_T] = []
    failures: list[Failure] = []
    for document in batch:
        results, failed = _together_or_each([document], work, check=check)
        done += results
        failures += failed
    return done, failures


def _check_embedder(error: Exception) -> None:
    """Raise EmbedderDown, unless the embedder works for an image without any difficulty."""
    try:
        _embed([_grey_square()])
    except Exception as again:
        raise _embedder_down(error) from again


def _reraise_unless_value(error: Exception) -> None:
    if not isinstance(error, ValueError):
        raise error


def _grey_square() -> Content:
    from PIL import Image

    return Content(image=Image.new("RGB", (64, 64), "grey"))


def _embedder_down(error: Exception) -> EmbedderDown:
    return EmbedderDown(f"{type(get_embedder()).__name__} does not work: {error}")


def _embed(contents: Sequence[Content]) -> Vector:
    """Return vectors of shape (n, dimension), float32, finite, of length 1.

    Raises ValueError if the embedder returned something else, and whatever it raises.
    """
    embedder = get_embedder()
    note_progress()
    vectors = np.asarray(embedder.embed_documents(contents), dtype=np.float32)
    check_vectors(vectors, len(contents), embedder=embedder)
    lengths = np.linalg.norm(vectors, axis=1)
    if (abs(lengths - 1) > _TOLERANCE).any():
        msg = f"{type(embedder).__name__} returned vectors of length {lengths.max():.3g}, not 1."
        raise ValueError(msg)
    return vectors
