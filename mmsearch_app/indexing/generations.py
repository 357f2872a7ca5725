"""Which generation of the index is live, and what a new one contains already."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes import Generation, IndexUnavailable
from mmsearch_app.indexing import ledger, stamps
from mmsearch_app.indexing.batch import fingerprint_of
from mmsearch_app.indexing.compare import compare_index
from mmsearch_app.models import Entry, KnownIndex, Rebuild, State

if TYPE_CHECKING:
    from mmsearch_app.indexing.documents import Document

log = logging.getLogger(__name__)


class ReindexNeeded(Exception):
    """The live generation was built by another model than the configured one."""


def ensure_live() -> Generation:
    """Return the live generation, which may be written to; create it on first use.

    If it is lost, it is found or made again. If it is older than the ledger, it is compared
    first. Raises ReindexNeeded if it was built by another model, and IndexRefused if another
    database fills it.
    """
    embedder = get_embedder()
    fingerprint = fingerprint_of(embedder)
    live = get_index().live() or _bring_back(fingerprint, embedder.dimension)
    stamps.verify(live, compare=compare_index)
    if (live.fingerprint, live.dimension) != (fingerprint, embedder.dimension):
        msg = (
            "The index was built by another model or preprocessing than the configured one: "
            f"{live.name} contains vectors of {live.fingerprint} with {live.dimension} dimensions, "
            f"expected were {fingerprint} with {embedder.dimension}. "
            "Run mmsearch_reindex; until it is done, visitors search the old index."
        )
        raise ReindexNeeded(msg)
    return live


def _bring_back(fingerprint: str, dimension: int) -> Generation:
    """Return the live generation, after another process or this one has made one live.

    An alias that is gone is pointed to the generation that was live. If that is gone, too, a new
    one is created, and every entry that was in the index is queued.
    """
    stamps.announce_stamp()
    with stamps.alone() as row:
        live = get_index().live() or _point_back(row)
        if live is not None:
            return live
        made = get_index().create(fingerprint=fingerprint, dimension=dimension)
        stamps.stamp_and_promote(made.name, row)
    if queued := ledger.retry(once_live()):
        stamps.note_healing(
            f"The index was empty or gone: {queued} images are indexed again, in {made.name}."
        )
    return made


def find_live() -> Generation | None:
    """Return the live generation, verified, or None if there is none.

    Points the alias back if it alone is gone. Raises IndexRefused if another database fills it.
    """
    live = get_index().live()
    if live is None:
        with stamps.alone() as row:
            live = get_index().live() or _point_back(row)
    if live is not None:
        stamps.verify(live, compare=compare_index, now=True)
    return live


def _point_back(row: KnownIndex) -> Generation | None:
    """Make the generation live that was live last, if it still exists. Call inside `alone`."""
    found = {generation.name: generation for generation in get_index().generations()}
    lost = found.get(row.generation or _last_generation())
    if lost is not None:
        get_index().promote(lost.name)
        stamps.note_healing(f"The alias of the index was gone: it points to {lost.name} again.")
    return lost


def once_live() -> QuerySet[Entry]:
    """Return the entries that a generation contains or contained which was live."""
    filling = Rebuild.objects.filter(open=True).values_list("generation", flat=True)
    return Entry.objects.filter(present=True).exclude(generation__in=["", *filling])


def _last_generation() -> str:
    """Return the generation that most entries were written to, for a ledger without stamps."""
    names = Entry.objects.filter(state=State.INDEXED).exclude(generation="").order_by()
    counted = names.values_list("generation").annotate(number=Count("pk")).order_by("-number")
    first = counted.first()
    return first[0] if first else ""


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


def stage(written: Sequence[Document], without: Sequence[Entry], *, generation: str) -> None:
    """Record that `generation` contains this version of the `written` documents.

    What no other generation contains is recorded with its content, so that it need not be read
    and embedded again after the switch. Those `without` an image are recorded as done at this
    version. An entry that a transaction of the shop has locked is waited for: skipped, it would
    be filled again and again as long as that transaction lasts.
    """
    by_pk = {entry.pk: entry for entry in (*(d.entry for d in written), *without)}
    left_out = {entry.pk for entry in without}
    first = {document.entry.pk: document for document in written if not document.entry.generation}

    def write(pks: list[int]) -> None:
        staged = [by_pk[pk] for pk in pks]
        gone = [entry for entry in staged if entry.pk in left_out and not entry.present]
        _stage(gone, "")
        _stage([entry for entry in staged if entry not in gone], generation)
        _record_first([first[pk] for pk in pks if pk in first], generation)

    ledger.write_free_first(by_pk, write)


def _stage(entries: Sequence[Entry], generation: str) -> None:
    """Record that the generation contains the version of these entries that was wanted."""
    if not entries:
        return
    rows = Entry.objects.filter(pk__in=[entry.pk for entry in entries])
    # A token is never given out twice, so it belongs to the entry that was read with it.
    unmarked = rows.filter(wanted__in={entry.wanted for entry in entries})
    if unmarked.update(staged=F("wanted"), staged_in=generation) < len(entries):
        marked = set(rows.exclude(staged=F("wanted"), staged_in=generation).values_list("pk"))
        for entry in entries:
            if (entry.pk,) in marked:
                Entry.objects.filter(pk=entry.pk).update(staged=entry.wanted, staged_in=generation)


def _record_first(documents: Sequence[Document], generation: str) -> None:
    """Record the content of documents that no other generation contains."""
    pks = [document.entry.pk for document in documents]
    unknown = Entry.objects.filter(pk__in=pks, generation="").exclude(state=State.INDEXED)
    still = set(unknown.select_for_update().values_list("pk", flat=True)) if pks else set()
    rows = []
    for document in documents:
        if document.entry.pk in still:
            row = copy.copy(document.entry)
            row.digest, row.content = document.digest, document.content_hash
            row.generation = generation
            rows.append(row)
    ledger.overwrite(rows, ["digest", "content", "signature", "generation"])


def settle_staged(generation: str) -> None:
    """Record as indexed what the generation, which is live now, contains as it is wanted."""
    current = Entry.objects.filter(present=True, staged_in=generation, staged=F("wanted"))
    ledger.change(current.filter(state=State.INDEXED), generation=generation)
    ledger.change(
        current.filter(generation=generation).exclude(state=State.INDEXED),
        state=State.INDEXED,
        indexed_at=timezone.now(),
        due_at=None,
        attempts=0,
        error="",
        **ledger.NO_LEASE,
    )


def discard_generation(generation: str) -> None:
    """Drop a generation that never became live, and forget what the ledger knows of it."""
    get_index().drop(generation)
    ledger.change(Entry.objects.filter(staged_in=generation), staged=None, staged_in="")
    filled = Entry.objects.filter(generation=generation)
    ledger.change(filled, generation="", digest="", content="", signature="")


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
