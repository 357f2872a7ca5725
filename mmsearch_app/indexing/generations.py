"""Which generation of the index visitors search, and which one holds each entry."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from django.db.models import F, Q, QuerySet

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes import Generation, IndexUnavailable
from mmsearch_app.indexing import ledger
from mmsearch_app.indexing.batch import fingerprint_of
from mmsearch_app.models import Entry

__all__ = [
    "ReindexNeeded",
    "Settling",
    "announce",
    "ensure_live",
    "is_live",
    "outdated_in",
    "stage",
    "unstaged",
]

log = logging.getLogger(__name__)


class ReindexNeeded(Exception):
    """The live generation was built by another model than the configured one."""


def ensure_live() -> Generation:
    """Return the live generation; create it on first use.

    Raises ReindexNeeded if it was built by another model.
    """
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
            "The index was built by another model or preprocessing than the configured one. "
            "Run mmsearch_reindex; until it is done, visitors search the old index."
        )
        raise ReindexNeeded(msg)
    return live


def is_live(name: str) -> bool:
    """Return whether the generation of that name is the live one."""
    live = get_index().live()
    return live is not None and live.name == name


def unstaged(generation: str) -> QuerySet[Entry]:
    """Return entries whose wanted version the generation lacks, or that it should not contain."""
    staged = Q(staged_in=generation, staged=F("wanted"))
    return Entry.objects.filter(present=True).exclude(staged) | Entry.objects.filter(
        present=False, staged_in=generation
    )


def outdated_in(generation: str) -> Q:
    """Return the condition for unstaged entries that the generation contains in an old version."""
    return Q(present=True, staged_in=generation, staged__isnull=False)


def announce(entries: Sequence[Entry], *, generation: str) -> None:
    """Record that `generation` may contain these entries, at an unknown version.

    Call it before writing.
    """
    rows = Entry.objects.filter(pk__in=[entry.pk for entry in entries])
    ledger.change(rows, staged=None, staged_in=generation)


def stage(written: Sequence[Entry], without: Sequence[Entry], *, generation: str) -> None:
    """Record that `generation` contains this version of the `written` entries.

    Those `without` an image are recorded as done at this version. An entry that a transaction of
    the shop has locked is waited for: skipped, it would be filled again and again as long as that
    transaction lasts.
    """
    for entry in (*written, *without):
        entry.staged, entry.staged_in = entry.wanted, generation
    for entry in without:
        entry.staged_in = generation if entry.present else ""
    by_pk = {entry.pk: entry for entry in (*written, *without)}

    def write(pks: list[int]) -> None:
        Entry.objects.bulk_update([by_pk[pk] for pk in pks], ["staged", "staged_in"])

    ledger.write_free_first(by_pk, write)


class Settling:
    """The wait between filling a generation and making it live, until its index is built.

    It also ends if the index makes no progress for `PATIENCE` seconds, or is unavailable. The
    generation is complete all the same, only searched less well for a while; without the switch
    visitors would have an old catalogue or, after a change of model, no search at all.
    """

    PATIENCE = 600.0

    def __init__(self, generation: str) -> None:
        self.generation = generation
        self._shares = get_index().settle(generation=generation)
        self._share = -1.0
        self._moved_at = time.monotonic()

    def look(self) -> bool:
        """Return whether the wait is over, after one short call of the index.

        Raises IndexMissing if the generation is gone.
        """
        try:
            share = next(self._shares, None)
        except IndexUnavailable as error:
            log.warning("%s goes live before its index is built: %s", self.generation, error)
            return True
        if share is None:
            return True
        now = time.monotonic()
        if share > self._share:
            log.info("The index of %s is built to %.0f %%", self.generation, 100 * share)
            self._share, self._moved_at = share, now
        elif now - self._moved_at > self.PATIENCE:
            log.warning("%s goes live before its index is built: no progress", self.generation)
            return True
        return False
