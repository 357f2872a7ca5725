"""Generations of the index: the live one, and a rebuild that fills another beside it.

The fill is a loop over entries whose wanted version the new generation does not hold yet, so
saves and deletes during the fill are caught up by the same loop, and an interrupted rebuild
goes on where it stopped. Then the alias moves, in one call: visitors never see an empty index.
What was saved last is due in the ledger: a worker brings it into the new generation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NoReturn

from django.db.models import F, Q
from django.utils import timezone

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.indexing import documents, ledger
from mmsearch_app.indexing.batch import embed_each, fingerprint_of, write_each
from mmsearch_app.indexing.documents import Document
from mmsearch_app.indexing.generations import Settling, announce, behind, is_live, stage, unstaged
from mmsearch_app.indexing.ledger import change
from mmsearch_app.indexing.reconcile import reconcile
from mmsearch_app.models import Entry, Rebuild, State

__all__ = [
    "RebuildBlocked",
    "Rebuilder",
    "rebuild_index",
    "request_rebuild",
]

log = logging.getLogger(__name__)

_Progress = Callable[[int, int], object]
_PAUSE = 0.5
"""Seconds between two looks at an index that is being built."""


class RebuildBlocked(Exception):
    """The rebuild cannot be completed now; what visitors search is as it was."""


def request_rebuild() -> Rebuild:
    """Ask for a rebuild; a worker does it. Returns the open one where there is one already."""
    return Rebuild.objects.get_or_create(open=True)[0]


def rebuild_index(*, progress: _Progress | None = None, tolerant: bool = False) -> Rebuild:
    """Do a whole rebuild in this process, or go on with the open one.

    `progress(done, total)` is called after every batch. With `tolerant` the new generation
    becomes live even where pictures could not be read; these stay due. Raises RebuildBlocked
    otherwise, IndexFault when the index and EmbedderDown when the model is away; calling it
    again goes on.
    """
    work = Rebuilder(request_rebuild(), tolerant=tolerant)
    try:
        while not work.step():
            if progress:
                progress(work.row.done, work.row.total)
            if work.waiting:
                time.sleep(_PAUSE)
    finally:
        work.release()
    return work.row


class Rebuilder:
    """Fills one rebuild's generation, batch by batch."""

    def __init__(self, row: Rebuild, *, tolerant: bool = False) -> None:
        self.row = row
        self.tolerant = tolerant
        self.begun = False
        self.holds = False
        self.waiting = False
        """Whether the last step only looked at the index, which is still being built."""
        self.last = 0
        self.missed: dict[int, str] = {}
        self.settling: Settling | None = None

    def step(self) -> bool:
        """Do one batch, or look at the index; True when the rebuild is complete and live.

        Raises RebuildBlocked when another process holds it or pictures cannot be read.
        """
        self._lease()
        self.waiting = False
        if not self.begun:
            self._begin()
            if is_live(self.row.generation):  # it died behind the switch: workers write there
                self._complete()
                return True
        if batch := self._next():
            self._fill(batch)
            return False
        if self.missed and not self.tolerant:
            some = next(iter(self.missed.values()))
            self._block(f"{len(self.missed)} pictures cannot be read now, such as: {some}")
        # Once, after the first fill: what is saved meanwhile is little, and may never end.
        self.settling = self.settling or Settling(self.row.generation)
        self.waiting = not self.settling.look()
        if not self.waiting:
            self._complete()
        return not self.waiting

    def release(self) -> None:
        """Let another process go on with it."""
        if self.holds:
            Rebuild.objects.filter(pk=self.row.pk).update(lease_until=None)
            self.holds = False

    def _lease(self) -> None:
        now = timezone.now()
        rows = Rebuild.objects.filter(pk=self.row.pk, open=True)
        if not self.holds:
            rows = rows.filter(Q(lease_until__isnull=True) | Q(lease_until__lt=now))
        if not rows.update(lease_until=now + timedelta(seconds=get_settings().LEASE_SECONDS)):
            msg = (
                "Another process is at work on this rebuild, or died less than "
                f"{get_settings().LEASE_SECONDS} seconds ago (MMSEARCH['LEASE_SECONDS'])."
            )
            raise RebuildBlocked(msg)
        self.holds = True

    def _begin(self) -> None:
        """Know every row, and make the new generation or go on with the one begun."""
        index, embedder = get_index(), get_embedder()
        names = {generation.name for generation in index.generations()}
        fingerprint = fingerprint_of(embedder)
        if self.row.generation not in names or self.row.fingerprint != fingerprint:
            if self.row.generation in names and not is_live(self.row.generation):
                index.drop(self.row.generation)
            made = index.create(fingerprint=fingerprint, dimension=embedder.dimension)
            self.row.generation, self.row.fingerprint = made.name, made.fingerprint
        reconcile(given_up=False)
        left = unstaged(self.row.generation).count()
        self.row.total = max(left, self.row.total)  # of all that went before it, too
        self.row.done, self.row.error = self.row.total - left, ""
        self.row.save(update_fields=["generation", "fingerprint", "total", "done", "error"])
        self.begun = True

    def _next(self) -> list[Entry]:
        """Go on behind the last batch; from the start again for what is lacking altogether.

        What is held in an older version is not waited for: a shop that saves all the time
        would keep the rebuild from its end for ever.
        """
        size, name = get_settings().BATCH_SIZE, self.row.generation
        todo = unstaged(name).exclude(pk__in=list(self.missed)).order_by("pk")
        batch = list(todo.filter(pk__gt=self.last)[:size])
        batch = batch or list(todo.exclude(behind(name))[:size])
        self.last = batch[-1].pk if batch else 0
        return batch

    def _fill(self, batch: Sequence[Entry]) -> None:
        index, name = get_index(), self.row.generation
        prepared = documents.prepare(batch)
        if prepared.held_up and not self.tolerant:
            self._block(f"The storage does not answer: {prepared.held_up[0][1]}")
        announce(batch, generation=name)
        made, failures = embed_each(prepared.documents)
        done, refused = write_each(prepared.documents, made, generation=name)
        settled = [outcome.entry for outcome in prepared.without_picture]
        index.delete([entry.key for entry in settled], generation=name)
        for entry, error in failures + refused + prepared.unread + prepared.held_up:
            if entry.state == State.FAILED:
                settled.append(entry)
            else:
                self.missed[entry.pk] = error
        self._tell_worker(done, settled)
        stage([document.entry for document in done], settled, generation=name)
        self.row.done = min(self.row.done + len(batch), self.row.total)
        self.row.save(update_fields=["done"])

    def _tell_worker(self, done: Sequence[Document], settled: Sequence[Entry]) -> None:
        """Keep the ledger true for the live generation as well."""
        differ = [d.entry.pk for d in done if d.entry.content not in ("", d.identity)]
        change(Entry.objects.filter(pk__in=differ), content="")
        stale = [entry.pk for entry in settled if entry.state == State.INDEXED]
        ledger.retry(Entry.objects.filter(pk__in=stale))

    def _complete(self) -> None:
        name = self.row.generation
        get_index().promote(name)
        indexed = Entry.objects.filter(present=True, state=State.INDEXED)
        change(indexed.filter(staged_in=name, staged=F("wanted")), generation=name)
        ledger.retry(indexed.exclude(generation=name))
        ledger.retry(unstaged(name).filter(staged_in=name))
        ledger.retry(Entry.objects.filter(pk__in=list(self.missed)))
        self.row.open, self.row.finished_at = False, timezone.now()
        self.row.save(update_fields=["open", "finished_at"])
        self.release()
        self._drop_others()

    def _drop_others(self) -> None:
        """Keep the newest generation of another model: processes not restarted yet use it."""
        others = [g for g in get_index().generations() if g.name != self.row.generation]
        kept = next((g for g in reversed(others) if g.fingerprint != self.row.fingerprint), None)
        for generation in others:
            if generation != kept:
                get_index().drop(generation.name)

    def _block(self, error: str) -> NoReturn:
        self.row.error = error
        self.row.save(update_fields=["error"])
        self.release()
        raise RebuildBlocked(error)
