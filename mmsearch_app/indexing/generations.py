"""Which generation of the index visitors search, and workers write to."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from django.db import router, transaction
from django.db.models import F, Q, QuerySet

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes import Generation, IndexUnavailable
from mmsearch_app.indexing import ledger
from mmsearch_app.indexing.batch import fingerprint_of
from mmsearch_app.indexing.ledger import change, lock
from mmsearch_app.models import Entry

__all__ = [
    "ReindexNeeded",
    "Settling",
    "announce",
    "behind",
    "ensure_live",
    "is_live",
    "stage",
    "unstaged",
]

log = logging.getLogger(__name__)


class ReindexNeeded(Exception):
    """The live generation was made by another model, or there is none."""


def ensure_live() -> Generation:
    """The live generation, made on first use. Raises ReindexNeeded for another model's."""
    index, embedder = get_index(), get_embedder()
    live, fingerprint = index.live(), fingerprint_of(embedder)
    if live is None:
        made = index.create(fingerprint=fingerprint, dimension=embedder.dimension)
        live = index.live()
        if live is None:
            index.promote(made.name)
            ledger.retry(Entry.objects.filter(present=True).exclude(generation=""))
            return made
        index.drop(made.name)
    if live.fingerprint != fingerprint:
        msg = (
            "The index was made by another model or preprocessing than the one configured; "
            "run mmsearch_reindex, visitors keep the old index until it is done."
        )
        raise ReindexNeeded(msg)
    return live


def is_live(name: str) -> bool:
    """Whether the alias is on the generation of that name."""
    live = get_index().live()
    return live is not None and live.name == name


def unstaged(generation: str) -> QuerySet[Entry]:
    """Entries whose wanted version the generation does not hold, or that it holds in vain."""
    held = Q(staged_in=generation, staged=F("wanted"))
    return Entry.objects.filter(present=True).exclude(held) | Entry.objects.filter(
        present=False, staged_in=generation
    )


def behind(generation: str) -> Q:
    """Of the unstaged entries those that it holds in an older version."""
    return Q(present=True, staged_in=generation, staged__isnull=False)


def announce(entries: Sequence[Entry], *, generation: str) -> None:
    """Note that it may hold the entries from now on, in no version that counts yet."""
    rows = Entry.objects.filter(pk__in=[entry.pk for entry in entries])
    change(rows, staged=None, staged_in=generation)


def stage(held: Sequence[Entry], without: Sequence[Entry], *, generation: str) -> None:
    """Note which version it holds of each entry now, or knows to be `without` a picture.

    An entry that a transaction of the shop holds is waited for, holding nothing: unstaged, it
    would be filled again and again as long as the transaction lasts.
    """
    for entry in (*held, *without):
        entry.staged, entry.staged_in = entry.wanted, generation
    for entry in without:
        entry.staged_in = generation if entry.present else ""
    entries = {entry.pk: entry for entry in (*held, *without)}
    with transaction.atomic(using=router.db_for_write(Entry)):
        free = lock(Entry.objects.filter(pk__in=entries)).values_list("pk", flat=True)
        known = [entries.pop(pk) for pk in list(free)]
        Entry.objects.bulk_update(known, ["staged", "staged_in"])
    for pk, entry in entries.items():
        values = {"staged": entry.staged, "staged_in": entry.staged_in}
        Entry.objects.filter(pk=pk).update(**values)


class Settling:
    """The time between the fill of a generation and its switch.

    It ends as well when the index stands still for `PATIENCE` seconds, or refuses. Then the
    generation is complete all the same, only searched less well for a while; without a switch
    visitors would have an old catalogue or, after a change of model, no search at all.
    """

    PATIENCE = 600.0

    def __init__(self, generation: str) -> None:
        self.generation = generation
        self._shares = get_index().settle(generation=generation)
        self._share = -1.0
        self._moved_at = time.monotonic()

    def look(self) -> bool:
        """Whether there is nothing more to wait for; takes a short call of the index.

        Raises IndexMissing when the generation is gone.
        """
        try:
            share = next(self._shares, None)
        except IndexUnavailable as error:
            log.warning("%s goes live before it is settled: %s", self.generation, error)
            return True
        if share is None:
            return True
        now = time.monotonic()
        if share > self._share:
            log.info("The index of %s is built to %.0f %%", self.generation, 100 * share)
            self._share, self._moved_at = share, now
        elif now - self._moved_at > self.PATIENCE:
            log.warning("%s goes live before it is settled: it stands still", self.generation)
            return True
        return False
