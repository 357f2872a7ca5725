"""Work off the ledger: claim waiting entries, embed their images, write the index, finish."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import Generation, IndexFault, IndexMissing, Stored
from mmsearch_app.indexing import documents, ledger, watch
from mmsearch_app.indexing.batch import EmbedderDown, fingerprint_of, write_each
from mmsearch_app.indexing.documents import Document, Failure, Prepared
from mmsearch_app.indexing.embedding import Embedded, read_and_embed
from mmsearch_app.indexing.generations import ReindexNeeded, ensure_live, is_live
from mmsearch_app.indexing.lanes import Lane
from mmsearch_app.indexing.leases import Leases
from mmsearch_app.indexing.ledger import Outcome
from mmsearch_app.indexing.overlap import Job, ModelHangs, Step, overlap, require_model
from mmsearch_app.models import Entry, State

if TYPE_CHECKING:
    from mmsearch_app.indexing.documents import Vector

log = logging.getLogger(__name__)
_LONGEST_BEAT = 20.0
"""Seconds between two calls of `beat`, at most."""


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

    @property
    def count(self) -> int:
        """Entries whose work came to an end, good or bad."""
        return self.indexed + self.removed + self.skipped + self.failed

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


def drain(
    *,
    limit: int | None = None,
    seconds: float = math.inf,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] | None = None,
    beat: Callable[[], object] = lambda: None,
) -> Drained:
    """Work until nothing waits, `limit` entries are done, or something is unavailable.

    Several batches are worked on at the same time: while one is embedded, the next is read and
    the last written. After `seconds` no batch but the first is begun; once `stopped` returns
    True, those that have not reached the model are given back.

    Any number of processes may drain one ledger at the same time. An outage raises nothing: the
    entries stay due, and `Drained.problem` says what is wrong. `progress` is called with the
    size of each batch when it is done, `beat` several times in LEASE_SECONDS.
    """
    drain = _Drain(limit=limit, until=time.monotonic() + seconds, stopped=stopped)

    def renew() -> None:
        drain.leases.renew()
        beat()

    try:
        more = True
        while more:
            jobs = overlap(drain.next_job, stopped=stopped, beat=renew, every=_beat_seconds())
            with closing(jobs):
                for size, drained in jobs:
                    drain.total += drained
                    if progress:
                        progress(size)
            more = drain.look()
    finally:
        drain.leases.give_back()
    return drain.total


def _beat_seconds() -> float:
    return min(get_settings().LEASE_SECONDS / 4, _LONGEST_BEAT)


class _Drain:
    """One call of `drain`: what it may still claim, what it has claimed and done."""

    def __init__(self, *, limit: int | None, until: float, stopped: Callable[[], bool]) -> None:
        self.limit = limit
        self.until = until
        self.stopped = stopped
        self.total = Drained()
        self.leases = Leases()
        self.claimed = 0

    def next_job(self) -> Job[tuple[int, Drained]] | None:
        """Claim a batch, unless nothing is due or no further batch may be begun."""
        entries = self._claim()
        return self._work(entries) if entries else None

    def _claim(self) -> Sequence[Entry]:
        size = get_settings().BATCH_SIZE
        if self.limit is not None:
            size = min(size, self.limit - self.claimed)
        if not self._may_go_on():
            return []
        try:
            require_model()
        except ModelHangs as error:
            self.total += Drained(problem=str(error))
            return []
        entries = ledger.claim(size)
        self.claimed += len(entries)
        self.leases.add(entries)
        return entries

    def _may_go_on(self) -> bool:
        late = self.claimed > 0 and time.monotonic() >= self.until
        if self.total.problem or self.stopped() or late:
            return False
        return self.limit is None or self.claimed < self.limit

    def look(self) -> bool:
        """If nothing is due, look whether the index is still right. Returns whether now there is.

        A process looks twice a minute at most.
        """
        if not self._may_go_on():
            return False
        try:
            return watch.look_if_idle()
        except (ReindexNeeded, EmbedderDown, IndexFault) as error:
            log.warning("The index could not be checked: %s", error)
            self.total += Drained(problem=str(error))
            return False

    def _work(self, entries: Sequence[Entry]) -> Job[tuple[int, Drained]]:
        drained = yield from work_off(entries)
        self.leases.remove(entries)
        return len(entries), drained


def work_off(entries: Sequence[Entry]) -> Job[Drained]:
    """Do what claimed entries need. An outage gives them back, any other error does not."""
    try:
        try:
            return (yield from _process(entries))
        except IndexMissing:  # another process dropped this generation after a rebuild: retry once
            return (yield from _process(entries))
    except (ReindexNeeded, EmbedderDown, IndexFault) as error:
        log.warning("Indexing waits: %s", error)
        ledger.release(entries, error=str(error), wait=get_settings().RETRY_SECONDS)
        return Drained(problem=str(error))


def _process(entries: Sequence[Entry]) -> Job[Drained]:
    if not getattr(get_embedder(), "settled", True):  # finding that out runs the model
        yield Step(lane=Lane.MODEL, work=partial(fingerprint_of, get_embedder()))
    live = ensure_live()
    stored = _read_stored(entries, live)
    contents = {key: found.content for key, found in stored.items()}
    described = documents.describe_rows(entries, stored=contents)
    embedded = yield from read_and_embed(described)
    prepared, without_image = embedded.prepared, embedded.prepared.without_image
    done = yield from _write_embedded(embedded, stored, live)
    ledger.finish(done.outcomes + without_image, still_live=partial(is_live, live.name))
    watch.note_found([outcome.entry for outcome in done.outcomes])
    failures = done.failures + prepared.failed
    for entry, error in failures:
        ledger.fail([entry], error)
    removed = sum(outcome.state == State.REMOVED for outcome in without_image)
    return Drained(
        indexed=len(done.outcomes),
        removed=removed,
        skipped=len(without_image) - removed,
        failed=len(failures),
        problem=_release_postponed(prepared),
    )


def _read_stored(entries: Sequence[Entry], live: Generation) -> dict[str, Stored]:
    """Return what the live generation contains, by key, of entries that may keep their vector.

    Which content a vector was made from is read with it from the index: another worker, or a
    backup that was restored, may have replaced what the ledger recorded last.
    """
    known = [entry.key for entry in entries if entry.content]
    return get_index().stored(known, generation=live.name) if known else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    outcomes: list[Outcome]
    failures: list[Failure]


def _write_embedded(
    embedded: Embedded, stored: Mapping[str, Stored], live: Generation
) -> Job[_Written]:
    """Write the documents: unchanged ones with the vector that is stored."""
    batch = embedded.prepared.documents
    failed = {entry.key for entry, _ in embedded.failures}
    kept = {d.entry.key for d in batch} - embedded.vectors.keys() - failed
    vectors = embedded.vectors | {key: stored[key].vector for key in kept}
    gone = [outcome.entry.key for outcome in embedded.prepared.without_image]
    work = partial(_write, batch, vectors, gone=gone, generation=live.name)
    written, refused = yield Step(lane=Lane.INDEX, work=work)
    outcomes = [_outcome(document, live) for document in written]
    return _Written(outcomes=outcomes, failures=embedded.failures + refused)


def _write(
    batch: Sequence[Document], vectors: Mapping[str, Vector], *, gone: list[str], generation: str
) -> tuple[list[Document], list[Failure]]:
    written = write_each(batch, vectors, generation=generation)
    if gone:
        get_index().delete(gone, generation=generation)
    return written


def _outcome(document: Document, live: Generation) -> Outcome:
    return Outcome(
        entry=document.entry,
        state=State.INDEXED,
        error=document.remark[:2000],
        digest=document.digest,
        content=document.content_hash,
        signature=document.entry.signature,
        generation=live.name,
    )


def _release_postponed(prepared: Prepared) -> str:
    """Give back the entries whose storage is down; return the problem, or ""."""
    if not prepared.postponed:
        return ""
    problem = prepared.postponed[0][1]
    log.warning("Indexing waits: %s", problem)
    entries = [entry for entry, _ in prepared.postponed]
    ledger.release(entries, error=problem, wait=get_settings().RETRY_SECONDS)
    return problem
