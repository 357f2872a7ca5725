"""Work off the ledger: claim waiting entries, embed their images, write the index, finish."""

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
from mmsearch_app.indexing.documents import Document, Failure, Prepared
from mmsearch_app.indexing.generations import ReindexNeeded, ensure_live, is_live
from mmsearch_app.indexing.ledger import Outcome
from mmsearch_app.models import Entry, State

if TYPE_CHECKING:
    from mmsearch_app.indexing.documents import Vector

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Numbers of entries by what a drain did with them."""

    indexed: int = 0
    removed: int = 0
    skipped: int = 0
    """Rows without a usable image."""
    failed: int = 0
    """Attempts that failed; they are repeated later."""
    problem: str = ""
    """Why it stopped early: index, model or storage unavailable, or a reindex needed."""

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
            f"{self.skipped} without a usable image, {self.failed} failed"
        )
        return f"{done}; stopped: {self.problem}" if self.problem else done


def drain(*, limit: int | None = None, progress: Callable[[int], object] | None = None) -> Drained:
    """Work until nothing waits, `limit` entries are done, or something is unavailable.

    Any number of processes may drain one ledger at the same time. An outage raises nothing: the
    entries stay due, and `Drained.problem` says what is wrong. `progress` is called with the
    size of each batch.
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
        if left is not None:
            left -= len(entries)
        if progress:
            progress(len(entries))
    return total


def _work(entries: Sequence[Entry]) -> Drained:
    try:
        try:
            return _process(entries)
        except IndexMissing:  # another process dropped this generation after a rebuild: retry once
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
    stored = _stored_vectors(entries, live)
    prepared = documents.prepare(entries, reusable=stored)
    outcomes, failures = _embed_and_write(prepared.documents, stored, live)
    gone = [outcome.entry.key for outcome in prepared.without_image]
    if gone:
        index.delete(gone, generation=live.name)
    ledger.finish(outcomes + prepared.without_image, still_live=partial(is_live, live.name))
    failures += prepared.failed
    for entry, error in failures:
        ledger.fail([entry], error)
    removed = sum(outcome.state == State.REMOVED for outcome in prepared.without_image)
    return Drained(
        indexed=len(outcomes),
        removed=removed,
        skipped=len(gone) - removed,
        failed=len(failures),
        problem=_release_postponed(prepared),
    )


def _stored_vectors(entries: Sequence[Entry], live: Generation) -> dict[str, Vector]:
    """Return vectors, by key, that are still right if only other values of the row changed."""
    known = [entry.key for entry in entries if entry.content and entry.generation == live.name]
    return get_index().vectors(known, generation=live.name) if known else {}


def _embed_and_write(
    batch: Sequence[Document], stored: Mapping[str, Vector], live: Generation
) -> tuple[list[Outcome], list[Failure]]:
    kept = {d.entry.key: stored[d.entry.key] for d in batch if d.unchanged}
    made, failures = embed_each([document for document in batch if not document.unchanged])
    written, refused = write_each(batch, kept | made, generation=live.name)
    outcomes = [
        Outcome(
            entry=document.entry,
            state=State.INDEXED,
            digest=document.digest,
            content=document.content_hash,
            signature=document.entry.signature,
            generation=live.name,
        )
        for document in written
    ]
    return outcomes, failures + refused


def _release_postponed(prepared: Prepared) -> str:
    """Give back the entries whose storage is down; return the problem, or ""."""
    if not prepared.postponed:
        return ""
    problem = f"The storage does not answer: {prepared.postponed[0][1]}"
    log.warning("Indexing waits: %s", problem)
    entries = [entry for entry, _ in prepared.postponed]
    ledger.release(entries, error=problem, wait=get_settings().RETRY_SECONDS)
    return problem
