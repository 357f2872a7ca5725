"""The left road: claim waiting entries, embed their pictures, write the index, finish."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mmsearch_app.backends import get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import Generation, IndexFault, IndexMissing
from mmsearch_app.indexing import documents, ledger
from mmsearch_app.indexing.batch import EmbedderDown, embed_each, write_each
from mmsearch_app.indexing.documents import Document, Prepared
from mmsearch_app.indexing.generations import ReindexNeeded, ensure_live, is_live
from mmsearch_app.indexing.ledger import Outcome
from mmsearch_app.models import Entry, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Drained", "drain"]

log = logging.getLogger(__name__)

_Progress = Callable[[int], object]


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
    """Why it stopped early: the index, the model or the storage is away, or a reindex needed."""

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


def drain(*, limit: int | None = None, progress: _Progress | None = None) -> Drained:
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
    except (ReindexNeeded, EmbedderDown, IndexFault) as error:
        log.warning("Indexing waits: %s", error)
        ledger.release(entries, error=str(error), wait=get_settings().RETRY_SECONDS)
        return Drained(problem=str(error))
    except BaseException:
        ledger.release(entries, wait=get_settings().RETRY_SECONDS)
        raise


def _process(entries: Sequence[Entry]) -> Drained:
    index = get_index()
    live = ensure_live()
    stored = _stored(entries, live)
    prepared = documents.prepare(entries, held=stored)
    outcomes, failures = _embed_and_write(prepared.documents, stored, live)
    gone = [outcome.entry.key for outcome in prepared.without_picture]
    if gone:
        index.delete(gone, generation=live.name)
    ledger.finish(outcomes + prepared.without_picture, holds=partial(is_live, live.name))
    for entry, error in failures + prepared.unread:
        ledger.fail([entry], error)
    return _count(outcomes, prepared, failures, problem=_release(prepared))


def _release(prepared: Prepared) -> str:
    """Give back what waits for the storage; what to say of it, or ""."""
    if not prepared.held_up:
        return ""
    problem = f"The storage does not answer: {prepared.held_up[0][1]}"
    log.warning("Indexing waits: %s", problem)
    held_up = [entry for entry, _ in prepared.held_up]
    ledger.release(held_up, error=problem, wait=get_settings().RETRY_SECONDS)
    return problem


def _count(
    outcomes: list[Outcome], prepared: Prepared, failures: list[tuple[Entry, str]], *, problem: str
) -> Drained:
    removed = sum(outcome.state == State.REMOVED for outcome in prepared.without_picture)
    return Drained(
        indexed=len(outcomes),
        removed=removed,
        skipped=len(prepared.without_picture) - removed,
        failed=len(failures) + len(prepared.unread),
        problem=problem,
    )


def _embed_and_write(
    batch: Sequence[Document], stored: Mapping[str, NDArray[np.float32]], live: Generation
) -> tuple[list[Outcome], list[tuple[Entry, str]]]:
    kept = {d.entry.key: stored[d.entry.key] for d in batch if d.unchanged}
    made, failures = embed_each([document for document in batch if not document.unchanged])
    done, refused = write_each(batch, kept | made, generation=live.name)
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


def _stored(entries: Sequence[Entry], live: Generation) -> dict[str, NDArray[np.float32]]:
    """Vectors that may still be right: only a filter's value or nothing at all has changed."""
    known = [entry.key for entry in entries if entry.content and entry.generation == live.name]
    return get_index().vectors(known, generation=live.name) if known else {}
