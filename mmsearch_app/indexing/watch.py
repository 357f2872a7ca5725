"""Look now and then whether the index still is what the ledger believes, and heal what is not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes import Generation, Index, IndexMissing, IndexRefused
from mmsearch_app.indexing import ledger, stamps
from mmsearch_app.indexing.compare import compare_index
from mmsearch_app.indexing.generations import ensure_live, once_live
from mmsearch_app.models import Entry, Rebuild, State

_SECONDS = 30.0
"""How often an idle process looks."""
_SAMPLE = 3
_SAMPLE_SECONDS = 600.0
"""How often it tries some of the images again whose file was missing."""


@dataclass(slots=True, kw_only=True)
class _Watch:
    """When this process looks next at the index, and what it could not explain."""

    index: Index | None = None
    next: float = 0.0
    next_sample: float = 0.0
    short: tuple[int, int] | None = None
    found: bool = False
    """Whether a file that was missing has been indexed."""


_watch = _Watch()


def _current() -> _Watch:
    """Return what this process knows of the index in use."""
    global _watch
    if _watch.index is not get_index():
        _watch = _Watch(index=get_index())
    return _watch


def look_if_idle() -> bool:
    """Look at the index, at most every 30 seconds. Returns whether there is new work.

    Raises IndexFault, ReindexNeeded and EmbedderDown.
    """
    if time.monotonic() < _current().next:
        return False
    _current().next = time.monotonic() + _SECONDS
    look()
    return ledger.waiting().exists()


def note_found(indexed: Sequence[Entry]) -> None:
    """Remember if one of the entries that were just indexed had been without its file before."""
    _current().found |= any(entry.error.startswith(ledger.MISSING) for entry in indexed)


def _retry_missing() -> None:
    """Try a few of the images again whose file was missing and, if one is there again, all.

    At most every ten minutes.
    """
    watch = _current()
    if time.monotonic() < watch.next_sample:
        return
    lost = ledger.missing()
    if not watch.found:
        long_ago = timezone.now() - timedelta(seconds=_SAMPLE_SECONDS)
        old = lost.filter(marked_at__lt=long_ago)
        sample = old.order_by("?").values_list("pk", flat=True)[:_SAMPLE]
        lost = Entry.objects.filter(pk__in=list(sample))
    watch.found = False
    if ledger.retry(lost):
        watch.next_sample = time.monotonic() + _SAMPLE_SECONDS


def look() -> int:
    """Look at the index and the times in the ledger. Returns how many entries are lost and queued.

    Raises IndexFault, ReindexNeeded and EmbedderDown.
    """
    ledger.correct_times()
    _retry_missing()
    try:
        try:
            return _look_at_index()
        except IndexMissing:  # another process dropped this generation after a rebuild: look again
            return _look_at_index()
    except IndexRefused as error:
        stamps.note_problem(str(error))
        raise


def _look_at_index() -> int:
    live = get_index().live()
    believed = Entry.objects.filter(present=True, state=State.INDEXED)
    if live is None:
        if not once_live().exists():
            return 0  # nothing was ever indexed
        before = believed.count()
        live = ensure_live()
        return before - believed.count()
    lost = 0

    def compare() -> None:
        nonlocal lost
        lost += compare_index()[0]

    stamps.verify(live, compare=compare, now=True)
    if not live.keeps_content and live.fingerprint == get_embedder().fingerprint:
        _renew_schema(live)
    if not ledger.leased().exists():
        numbers = get_index().count(generation=live.name), believed.count()
        if numbers[0] < numbers[1] and numbers != _current().short:
            _current().short = numbers
            stamps.note_healing(
                f"{live.name} contains {numbers[0]} of {numbers[1]} images: "
                "every record is compared and what is lost is embedded again."
            )
            compare()
    stamps.renew_after_writing()
    return lost


def _renew_schema(live: Generation) -> None:
    """Ask for a rebuild of a collection that does not say which version its vectors are of."""
    if Rebuild.objects.get_or_create(open=True)[1]:
        stamps.note_healing(
            f"{live.name} was made by an older version of mmsearch: the index is rebuilt."
        )
