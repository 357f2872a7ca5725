"""The left road: claim waiting entries, embed their pictures, write the index, finish."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch_app import documents, ledger, reindex
from mmsearch_app.conf import get_index, get_settings
from mmsearch_app.documents import Document, Prepared
from mmsearch_app.embedding import EmbedderDown, embed_each
from mmsearch_app.indexes.base import Generation, IndexFault, IndexMissing
from mmsearch_app.ledger import Outcome
from mmsearch_app.models import Entry, State
from mmsearch_app.writing import write_each

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Drained", "drain"]

log = logging.getLogger(__name__)

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What a drain did."""

    indexed: int = 0
    removed: int = 0
    skipped: int = 0
    """Rows without a usable picture."""
    failed: int = 0
    """Attempts that failed; they are repeated later."""
    problem: str = ""
    """Why it stopped early: the index or the model is away, or a reindex is needed."""

    def __add__(self, other: Drained) -> Drained:
        return Drained(
            indexed=self.indexed + other.indexed,
            removed=self.removed + other.removed,
            skipped=self.skipped + other.skipped,
            failed=self.failed + other.failed,
            problem=self.problem or other.problem,
        )

    def __str__(self) -> str:
        done = (
            f"{self.indexed} indexed, {self.removed} removed, "
            f"{self.skipped} without a usable picture, {self.failed} failed"
        )
        return f"{done}; stopped: {self.problem}" if self.problem else done


def drain(*, limit: int | None = None, progress: Progress | None = None) -> Drained:
    """Work until nothing waits, `limit` entries are done, or something is away.

    Any number of processes may drain one ledger at the same time. Never raises for an outage:
    the entries stay due and `Drained.problem` says what is wrong.
    """
    total, left = Drained(), limit
    while left is None or left > 0:
        size = get_settings().BATCH_SIZE
        entries = ledger.claim(size if left is None else min(size, left))
        if not entries:
            break
        total += _work(entries)
        if total.problem:
            break
        left = None if left is None else left - len(entries)
        if progress:
            progress(len(entries))
    return total


def _work(entries: Sequence[Entry]) -> Drained:
    try:
        try:
            return _process(entries)
        except IndexMissing:  # a rebuild dropped the generation under our hands
            return _process(entries)
    except (reindex.ReindexNeeded, EmbedderDown, IndexFault) as error:
        log.warning("Indexing waits: %s", error)
        ledger.release(entries, error=str(error), wait=get_settings().RETRY_SECONDS)
        return Drained(problem=str(error))
    except BaseException:
        ledger.release(entries, wait=get_settings().RETRY_SECONDS)
        raise


def _process(entries: Sequence[Entry]) -> Drained:
    index = get_index()
    live = reindex.ensure_live()
    prepared = documents.prepare(entries)
    outcomes, failures = _embed_and_write(prepared.documents, live)
    gone = [outcome.entry.key for outcome in prepared.without_picture]
    if gone:
        index.delete(gone, generation=live.name)
    ledger.finish(outcomes + prepared.without_picture)
    for entry, error in failures + prepared.unread:
        ledger.fail([entry], error)
    reindex.follow(entries, live)
    return _count(outcomes, prepared, failures)


def _count(
    outcomes: list[Outcome], prepared: Prepared, failures: list[tuple[Entry, str]]
) -> Drained:
    removed = sum(outcome.state == State.REMOVED for outcome in prepared.without_picture)
    return Drained(
        indexed=len(outcomes),
        removed=removed,
        skipped=len(prepared.without_picture) - removed,
        failed=len(failures) + len(prepared.unread),
    )


def _embed_and_write(
    batch: Sequence[Document], live: Generation
) -> tuple[list[Outcome], list[tuple[Entry, str]]]:
    vectors = _stored(batch, live)
    missing = [document for document in batch if document.entry.key not in vectors]
    made, failures = embed_each(missing)
    done, refused = write_each(batch, vectors | made, generation=live.name)
    return [_indexed(document, live) for document in done], failures + refused


def _indexed(document: Document, live: Generation) -> Outcome:
    return Outcome(
        entry=document.entry,
        state=State.INDEXED,
        digest=document.digest,
        content=document.identity,
        signature=document.entry.signature,
        generation=live.name,
    )


def _stored(batch: Sequence[Document], live: Generation) -> dict[str, NDArray[np.float32]]:
    """Vectors that are still right: only a filter's value or nothing at all has changed."""
    same = [
        document.entry.key
        for document in batch
        if document.entry.content == document.identity and document.entry.generation == live.name
    ]
    return get_index().vectors(same, generation=live.name) if same else {}
