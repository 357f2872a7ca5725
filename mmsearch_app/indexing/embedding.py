"""Read and embed a batch: large images a few at a time, so that memory stays bounded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mmsearch_app.indexing import documents
from mmsearch_app.indexing.batch import embed_each
from mmsearch_app.indexing.documents import Described, Failure, Prepared
from mmsearch_app.indexing.lanes import Lane
from mmsearch_app.indexing.overlap import Job, Step

if TYPE_CHECKING:
    from mmsearch_app.indexing.documents import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A batch that is ready to be written."""

    prepared: Prepared
    """The whole batch; its documents have no images any more."""
    vectors: dict[str, Vector]
    """By entry key, of the documents that were embedded: not of unchanged ones."""
    failures: list[Failure]
    """Documents that could not be embedded."""


def read_and_embed(described: Described) -> Job[Embedded]:
    """Read and embed as many images at a time as a batch has room for, until none is left.

    All are written together afterwards. Raises EmbedderDown.
    """
    parts: list[Prepared] = []
    vectors: dict[str, Vector] = {}
    failures: list[Failure] = []
    while described.rows or not parts:
        readings = yield Step(lane=Lane.READ, work=partial(documents.read_images, described))
        prepared = documents.sort_readings(described, readings)
        described = described.after(len(readings))
        del readings
        changed = [document for document in prepared.documents if not document.unchanged]
        if changed:
            made, failed = yield Step(lane=Lane.MODEL, work=partial(embed_each, changed))
            vectors |= made
            failures += failed
        del changed
        parts.append(prepared.without_pixels())
        del prepared
    return Embedded(prepared=documents.join(parts), vectors=vectors, failures=failures)
