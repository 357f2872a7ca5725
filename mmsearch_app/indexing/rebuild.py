"""Rebuild the index: fill a new generation beside the live one, then switch.

The fill is a loop over entries whose wanted version the new generation does not contain yet, so
that it catches up with saves and deletes during the fill, and an interrupted rebuild continues
where it stopped. Then the alias moves, in one call: visitors never see an empty index. What was
saved last is due in the ledger: a worker brings it into the new generation.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import NoReturn

from django.db import IntegrityError, router, transaction
from django.utils import timezone

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.indexing import documents, ledger, stamps
from mmsearch_app.indexing.batch import fingerprint_of, write_each
from mmsearch_app.indexing.documents import Document, Failure, Prepared
from mmsearch_app.indexing.embedding import Embedded, read_and_embed
from mmsearch_app.indexing.generations import (
    Settling,
    announce,
    discard_generation,
    find_live,
    is_live,
    once_live,
    outdated_in,
    settle_staged,
    stage,
    unstaged,
)
from mmsearch_app.indexing.lanes import Lane
from mmsearch_app.indexing.overlap import Job, Step, call_model, overlap
from mmsearch_app.indexing.reconcile import find_drift
from mmsearch_app.models import Entry, Rebuild, State

log = logging.getLogger(__name__)

_Progress = Callable[[int, int], object]
_PAUSE = 0.5
"""Seconds between two looks at an index that is being built."""
_FEW = 10
"""A shop with fewer images may lose most of them, but not all."""


class RebuildBlocked(Exception):
    """The rebuild cannot be completed now; visitors search the same index as before."""


def request_rebuild() -> Rebuild:
    """Ask for a rebuild, which a worker does. Returns the open one if there is one already."""
    try:
        return Rebuild.objects.get_or_create(open=True)[0]
    except IntegrityError:  # another one's, younger than the snapshot of this transaction
        with transaction.atomic(using=router.db_for_write(Rebuild)):
            return Rebuild.objects.select_for_update().get(open=True)


def rebuild_index(
    *, progress: _Progress | None = None, tolerant: bool = False, allow_loss: bool = False
) -> Rebuild:
    """Do a whole rebuild in this process, or continue the open one.

    `progress(done, total)` is called after every batch. With `tolerant` the new generation
    becomes live even if images cannot be read; they stay due. Otherwise that raises
    RebuildBlocked, as does a new generation that lacks most images of the live one, unless
    `allow_loss`. Raises IndexFault if the index and EmbedderDown if the model is unavailable.
    After any of these, calling it again continues.
    """
    work = Rebuilder(request_rebuild(), tolerant=tolerant, allow_loss=allow_loss)
    work.progress = progress or work.progress
    try:
        while not work.step(seconds=math.inf):
            if work.waiting:
                time.sleep(_PAUSE)
    finally:
        work.release()
    return work.row


def describe_loss(*, kept: int, before: int, some: str) -> str:
    """Return why a new generation was not made live."""
    example = f" ({some})" if some else ""
    return (
        f"Only {kept} of {before} images could be indexed{example}, so the index was not "
        "switched. Is the media volume mounted, is the bucket the right one? If these images are "
        'gone for good, run "manage.py mmsearch_reindex --allow-loss".'
    )


class Rebuilder:
    """Fills the generation of one rebuild, batch by batch."""

    def __init__(self, row: Rebuild, *, tolerant: bool = False, allow_loss: bool = False) -> None:
        self.row = row
        self.tolerant = tolerant
        self.allow_loss = allow_loss
        self.begun = False
        self.has_lease = False
        self.waiting = False
        """Whether the last step only looked at the index, which is still being built."""
        self.last = 0
        self.missed: dict[int, str] = {}
        """Error by primary key of entries whose image cannot be indexed now."""
        self.unusable: dict[int, str] = {}
        """Error by primary key of entries whose file is missing or no valid image."""
        self.settling: Settling | None = None
        self.progress: _Progress = lambda done, total: None
        """Called with the numbers of filled and of all images, after every batch."""
        self._under_way = 0
        self._before = 0
        """Images in the index when the fill began: a worker removes lost ones meanwhile."""

    def step(self, *, seconds: float = 0.0, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Fill a batch or look at the index; return True if the rebuild is complete and live.

        Further batches are begun for `seconds`, several of them worked on at the same time, until
        `stopped` returns True.

        Raises RebuildBlocked if another process is at work on it, if images cannot be read, or
        if too many are lost.
        """
        self._lease()
        self.waiting = False
        if not self.begun:
            self._begin()
            if is_live(self.row.generation):  # a process died after the switch: workers write there
                self._complete()
                return True
        if self._fill(until=time.monotonic() + seconds, stopped=stopped):
            return False
        if self.missed and not self.tolerant:
            some = next(iter(self.missed.values()))
            self._block(f"{len(self.missed)} images cannot be read now, such as: {some}")
        self._refuse_loss()
        # Once, after the first fill: what is saved meanwhile is little, and may never end.
        self.settling = self.settling or Settling(self.row.generation)
        self.waiting = not self.settling.look()
        if not self.waiting:
            self._complete()
        return not self.waiting

    def release(self) -> None:
        """Let another process continue the rebuild."""
        if self.has_lease:
            Rebuild.objects.filter(pk=self.row.pk).update(lease_until=None)
            self.has_lease = False

    def _lease(self) -> None:
        now = timezone.now()
        rows = Rebuild.objects.filter(pk=self.row.pk, open=True)
        if not self.has_lease:
            rows = rows.filter(ledger.lease_is_free(at=now))
        if not rows.update(lease_until=now + timedelta(seconds=get_settings().LEASE_SECONDS)):
            msg = (
                "Another process is at work on this rebuild, or died less than "
                f"{get_settings().LEASE_SECONDS} seconds ago (MMSEARCH['LEASE_SECONDS'])."
            )
            raise RebuildBlocked(msg)
        self.has_lease = True

    def _begin(self) -> None:
        """Bring the ledger up to date, and create the new generation unless it exists."""
        index, embedder = get_index(), get_embedder()
        find_live()
        names = {generation.name for generation in index.generations()}
        fingerprint = call_model(partial(fingerprint_of, embedder))
        if self.row.generation not in names or self.row.fingerprint != fingerprint:
            if self.row.generation in names and not is_live(self.row.generation):
                discard_generation(self.row.generation)
            made = index.create(fingerprint=fingerprint, dimension=embedder.dimension)
            self.row.generation, self.row.fingerprint = made.name, made.fingerprint
        find_drift(given_up=False)
        self._before = once_live().count()
        left = unstaged(self.row.generation).count()
        self.row.total = max(left, self.row.total)  # an interrupted rebuild keeps its total
        self.row.done, self.row.error = self.row.total - left, ""
        self.row.save(update_fields=["generation", "fingerprint", "total", "done", "error"])
        self.begun = True

    def _next(self) -> list[Entry]:
        """Return the entries after the last batch; at the end, those that the generation lacks.

        An entry that it contains in an old version is not waited for at the end: a shop that
        saves all the time would never let the rebuild finish.
        """
        size, name = get_settings().BATCH_SIZE, self.row.generation
        todo = unstaged(name).exclude(pk__in=list(self.missed)).order_by("pk")
        batch = list(todo.filter(pk__gt=self.last)[:size])
        if not batch and self._under_way:  # what is under way looks like what is lacking
            return []
        batch = batch or list(todo.exclude(outdated_in(name))[:size])
        self.last = batch[-1].pk if batch else 0
        return batch

    def _fill(self, *, until: float, stopped: Callable[[], bool]) -> bool:
        """Fill at least one batch, and others until that time. Returns False if none is left."""
        begun = False

        def next_job() -> Job[None] | None:
            nonlocal begun
            if begun and (stopped() or time.monotonic() >= until):
                return None
            batch = self._next()
            begun = begun or bool(batch)
            return self._fill_batch(batch) if batch else None

        every = get_settings().LEASE_SECONDS / 4
        with closing(overlap(next_job, stopped=stopped, beat=self._lease, every=every)) as jobs:
            for _ in jobs:
                self.progress(self.row.done, self.row.total)
        return begun

    def _fill_batch(self, batch: Sequence[Entry]) -> Job[None]:
        self._under_way += 1
        try:
            described = documents.describe_rows(batch)
            embedded = yield from read_and_embed(described)
            prepared = embedded.prepared
            if prepared.postponed and not self.tolerant:
                self._block(prepared.postponed[0][1])
            announce(batch, generation=self.row.generation)
            work = partial(_write, embedded, generation=self.row.generation)
            written, refused = yield Step(lane=Lane.INDEX, work=work)
            self._record(batch, prepared, written, embedded.failures + refused)
        finally:
            self._under_way -= 1

    def _record(
        self,
        batch: Sequence[Entry],
        prepared: Prepared,
        written: Sequence[Document],
        failures: Sequence[Failure],
    ) -> None:
        """Record what became of a batch."""
        without = [outcome.entry for outcome in prepared.without_image]
        for entry, error in [*failures, *prepared.failed, *prepared.postponed]:
            if entry.state == State.FAILED:
                without.append(entry)
            else:
                self.missed[entry.pk] = error
        errors = {outcome.entry.pk: outcome.error for outcome in prepared.without_image}
        self.unusable |= {pk: error for pk, error in errors.items() if error}
        self._queue_for_live(written, without)
        stage(written, without, generation=self.row.generation)
        self.row.done = min(self.row.done + len(batch), self.row.total)
        self.row.save(update_fields=["done"])

    def _queue_for_live(self, written: Sequence[Document], without: Sequence[Entry]) -> None:
        """Queue for the live generation what the fill found to be out of date there."""
        differ = [d.entry.pk for d in written if d.entry.content not in ("", d.content_hash)]
        ledger.change(Entry.objects.filter(pk__in=differ), content="")
        stale = [entry.pk for entry in without if entry.state == State.INDEXED]
        ledger.retry(Entry.objects.filter(pk__in=stale))

    def _complete(self) -> None:
        name = self.row.generation
        stamps.promote(name)
        settle_staged(name)
        indexed = Entry.objects.filter(present=True, state=State.INDEXED)
        ledger.retry(indexed.exclude(generation=name))
        ledger.retry(unstaged(name).filter(staged_in=name))
        ledger.retry(Entry.objects.filter(pk__in=list(self.missed)))
        self.row.open, self.row.finished_at = False, timezone.now()
        self.row.save(update_fields=["open", "finished_at"])
        self.release()
        self._drop_old()

    def _drop_old(self) -> None:
        """Drop all old generations but the newest one of another model.

        Processes that are not restarted yet search that one. Others may not know of the switch for
        a moment, and a server that drops a collection answers searches of it incompletely.
        """
        lag = getattr(get_index(), "live_lag", 0.0)
        if lag:
            time.sleep(lag)
        old = [g for g in get_index().generations() if g.name != self.row.generation]
        kept = next((g for g in reversed(old) if g.fingerprint != self.row.fingerprint), None)
        for generation in old:
            if generation != kept:
                get_index().drop(generation.name)

    def _refuse_loss(self) -> None:
        """End the rebuild without the switch if the new generation lacks most of the images.

        That is, if it is empty although there are images, or contains fewer than half of at
        least ten. A media volume that is not mounted looks like this.
        """
        name = self.row.generation
        kept = get_index().count(generation=name)
        before = max(self._before, once_live().count())
        empty = not kept and bool(before or self.unusable)
        if self.allow_loss or not (empty or (before >= _FEW and kept < before / 2)):
            return
        some = next(iter(self.unusable.values()), "")
        discard_generation(name)
        self.row.open, self.row.finished_at = False, timezone.now()
        self.row.save(update_fields=["open", "finished_at"])
        self._block(describe_loss(kept=kept, before=before or len(self.unusable), some=some))

    def _block(self, error: str) -> NoReturn:
        self.row.error = error
        self.row.save(update_fields=["error"])
        self.release()
        raise RebuildBlocked(error)


def _write(embedded: Embedded, *, generation: str) -> tuple[list[Document], list[Failure]]:
    prepared = embedded.prepared
    written = write_each(prepared.documents, embedded.vectors, generation=generation)
    gone = [outcome.entry.key for outcome in prepared.without_image]
    get_index().delete(gone, generation=generation)
    return written
