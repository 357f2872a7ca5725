"""Generations of the index: the live one, and a rebuild that fills another beside it.

The fill is a loop over entries whose wanted version the new generation does not hold yet, so
saves and deletes during the fill are caught up by the same loop, and an interrupted rebuild
goes on where it stopped. Then the alias moves, in one call: visitors never see an empty index.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.db import router, transaction
from django.db.models import F, Q
from django.utils import timezone

from mmsearch_app import documents, ledger
from mmsearch_app.conf import get_embedder, get_index, get_settings
from mmsearch_app.documents import Document
from mmsearch_app.embedding import embed_each
from mmsearch_app.indexes.base import Generation
from mmsearch_app.locking import change, lock
from mmsearch_app.models import Entry, Rebuild, State
from mmsearch_app.reconcile import reconcile
from mmsearch_app.writing import write_each

__all__ = [
    "RebuildBlocked",
    "Rebuilder",
    "ReindexNeeded",
    "ensure_live",
    "follow",
    "rebuild",
    "request",
]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], object]


class ReindexNeeded(Exception):
    """The live generation was made by another model, or there is none."""


class RebuildBlocked(Exception):
    """The rebuild cannot be completed now; what visitors search is as it was."""


def ensure_live() -> Generation:
    """The live generation, made on first use. Raises ReindexNeeded for another model's."""
    index, embedder = get_index(), get_embedder()
    live = index.live()
    if live is None:
        made = index.create(fingerprint=embedder.fingerprint, dimension=embedder.dimension)
        live = index.live()
        if live is None:
            index.promote(made.name)
            ledger.retry(Entry.objects.filter(present=True).exclude(generation=""))
            return made
        index.drop(made.name)
    if live.fingerprint != embedder.fingerprint:
        msg = (
            "The index was made by another model or preprocessing than the one configured; "
            "run mmsearch_reindex, visitors keep the old index until it is done."
        )
        raise ReindexNeeded(msg)
    return live


def follow(entries: Sequence[Entry], written: Generation) -> None:
    """Mark a batch again when the alias moved away from where it was written."""
    live = get_index().live()
    if live is not None and live.name != written.name:
        ledger.retry(Entry.objects.filter(pk__in=[entry.pk for entry in entries]))


def request() -> Rebuild:
    """Ask for a rebuild; a worker does it. Returns the open one where there is one already."""
    return Rebuild.objects.get_or_create(open=True)[0]


def rebuild(*, progress: Progress | None = None, tolerant: bool = False) -> Rebuild:
    """Do a whole rebuild in this process, or go on with the open one.

    `progress(done, total)` is called after every batch. With `tolerant` the new generation
    becomes live even where pictures could not be read; these stay due. Raises RebuildBlocked
    otherwise, IndexFault when the index and EmbedderDown when the model is away; calling it
    again goes on.
    """
    work = Rebuilder(request(), tolerant=tolerant)
    try:
        while not work.step():
            if progress:
                progress(work.row.done, work.row.total)
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
        self.last = 0
        self.missed: dict[int, str] = {}

    def step(self) -> bool:
        """Do one batch; True when the rebuild is complete and live.

        Raises RebuildBlocked when another process holds it or pictures cannot be read.
        """
        self._lease()
        if not self.begun:
            self._begin()
        if batch := self._next():
            self._fill(batch)
            return False
        if self.missed and not self.tolerant:
            some = next(iter(self.missed.values()))
            self._leave(f"{len(self.missed)} pictures cannot be read now, such as: {some}")
            raise RebuildBlocked(self.row.error)
        self._complete()
        return True

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
        if self.row.generation not in names or self.row.fingerprint != embedder.fingerprint:
            live = index.live()
            if self.row.generation in names and (live is None or live.name != self.row.generation):
                index.drop(self.row.generation)
            made = index.create(fingerprint=embedder.fingerprint, dimension=embedder.dimension)
            self.row.generation, self.row.fingerprint = made.name, made.fingerprint
        reconcile()
        self.row.done, self.row.error = 0, ""
        self.row.total = ledger.unstaged(self.row.generation).count()
        self.row.save(update_fields=["generation", "fingerprint", "total", "done", "error"])
        self.begun = True

    def _next(self) -> list[Entry]:
        """Go on behind the last batch; from the start again for what was marked meanwhile."""
        size = get_settings().BATCH_SIZE
        todo = ledger.unstaged(self.row.generation).exclude(pk__in=list(self.missed)).order_by("pk")
        batch = list(todo.filter(pk__gt=self.last)[:size]) or list(todo[:size])
        self.last = batch[-1].pk if batch else 0
        return batch

    def _fill(self, batch: Sequence[Entry]) -> None:
        index, name = get_index(), self.row.generation
        prepared = documents.prepare(batch)
        made, failures = embed_each(prepared.documents)
        done, refused = write_each(prepared.documents, made, generation=name)
        settled = [outcome.entry for outcome in prepared.without_picture]
        index.delete([entry.key for entry in settled], generation=name)
        for entry, error in failures + refused + prepared.unread:
            if entry.state == State.FAILED:
                settled.append(entry)
            else:
                self.missed[entry.pk] = error
        self._stage([document.entry for document in done] + settled)
        self._tell_worker(done, settled)
        self.row.done = min(self.row.done + len(batch), self.row.total)
        self.row.save(update_fields=["done"])

    def _stage(self, entries: Sequence[Entry]) -> None:
        """Note which version of each the new generation holds; an older one counts as none."""
        for entry in entries:
            entry.staged = entry.wanted
            entry.staged_in = self.row.generation if entry.present else ""
        rows = Entry.objects.filter(pk__in=[entry.pk for entry in entries])
        with transaction.atomic(using=router.db_for_write(Entry)):
            free = set(lock(rows).values_list("pk", flat=True))
            known = [entry for entry in entries if entry.pk in free]
            Entry.objects.bulk_update(known, ["staged", "staged_in"])

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
        ledger.retry(Entry.objects.filter(present=False, staged_in=name))
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

    def _leave(self, error: str) -> None:
        self.row.error = error
        self.row.save(update_fields=["error"])
        self.release()
