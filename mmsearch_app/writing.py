"""Writing a batch to the index, so that one record that it refuses spoils no other."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mmsearch_app.conf import get_index
from mmsearch_app.documents import Document
from mmsearch_app.models import Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["write_each"]

log = logging.getLogger(__name__)


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
