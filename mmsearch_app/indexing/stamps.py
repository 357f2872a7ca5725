"""Whether the index is the one that the ledger knows, in the state that the ledger knows.

Milvus may be emptied or restored from a backup, the database likewise, and another shop or a
copy of this one (staging) may use the same collection by mistake. So the ledger and the live
generation carry the same stamp: the ledger's random name, a number that grows while images are
written, and a random token. What differs says what happened:

- The index has no live generation: it was lost.
- Another name: the collection belongs to another database.
- A smaller number: the index was restored from a backup. A deep comparison heals that.
- A larger number, or another token: the database was restored from a backup, or is a copy of the
  one that fills this index. Writing would spoil the other one's index, so a person decides.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.db import router
from django.db.models import F
from django.utils import timezone

from mmsearch_app.backends import get_index
from mmsearch_app.indexes import Generation, Index, IndexRefused
from mmsearch_app.indexing.transactions import closed_if_idle
from mmsearch_app.models import Entry, KnownIndex, Rebuild

log = logging.getLogger(__name__)

_PK = 1
_FROZEN_SECONDS = 120
"""How long other workers wait for one that is frozen while it is `alone`, or waits for Milvus."""
_LOOK_SECONDS = 15.0
"""Seconds for which a process trusts what it saw."""
_STAMP_SECONDS = timedelta(seconds=60)
"""While images are written, the stamp is renewed this often: a backup that is older is noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stamp:
    instance: str
    number: int
    token: str

    def __str__(self) -> str:
        return f"{self.instance} {self.number} {self.token}"


def _parse(text: str) -> _Stamp | None:
    parts = text.split(" ")
    if len(parts) != 3 or not parts[1].isdecimal():
        return None
    return _Stamp(instance=parts[0], number=int(parts[1]), token=parts[2])


@contextmanager
def alone() -> Iterator[KnownIndex]:
    """Yield the ledger's row about the index; other processes that want it wait until the end."""
    KnownIndex.objects.get_or_create(pk=_PK)
    with closed_if_idle(router.db_for_write(KnownIndex), seconds=_FROZEN_SECONDS):
        KnownIndex.objects.filter(pk=_PK).update(number=F("number"))  # locks it on any database
        yield KnownIndex.objects.get(pk=_PK)


def find_known() -> KnownIndex | None:
    """Return the ledger's row about the index, or None if nothing was ever written to one."""
    return KnownIndex.objects.filter(pk=_PK).first()


def get_known() -> KnownIndex:
    """Return the ledger's row about the index."""
    return KnownIndex.objects.get_or_create(pk=_PK)[0]


def note_problem(text: str) -> None:
    """Record why nothing is written to the index, for the admin and monitors; "" if it works."""
    KnownIndex.objects.filter(pk=_PK).exclude(problem=text).update(problem=text)


def note_healing(text: str) -> None:
    """Log and record what was wrong with the index and is being repaired."""
    log.warning("%s", text)
    get_known()
    KnownIndex.objects.filter(pk=_PK).update(healed=text, healed_at=timezone.now(), problem="")


class _Sight:
    """What this process saw last, and when: a check costs two queries, a batch should not."""

    def __init__(self) -> None:
        self.index: Index | None = None
        self.generation = ""
        self.until = 0.0
        self.wrote = True
        """Whether something may have been written since the last stamp, by this process or by one
        that died."""

    def is_fresh(self, generation: str) -> bool:
        same = self.index is get_index() and self.generation == generation
        return same and time.monotonic() < self.until

    def keep(self, generation: str) -> None:
        self.index, self.generation = get_index(), generation
        self.until = time.monotonic() + _LOOK_SECONDS


_sight = _Sight()


def forget() -> None:
    """Look again before the next write."""
    _sight.until = 0.0


def verify(live: Generation, *, compare: Callable[[], object], now: bool = False) -> None:
    """Make sure that the live generation may be written to, and renew its stamp if that is due.

    Calls `compare`, which must find every difference, if the index is older than the ledger.
    Looks every 15 seconds or, if nothing is to be written, `now`. Raises IndexRefused.
    """
    _sight.wrote |= not now
    if not now and _sight.is_fresh(live.name):
        return
    row = get_known()
    if row.generation != live.name or get_index().stamp(generation=live.name) != row.stamp:
        row = _recognise(live, compare)
    elif row.problem:
        note_problem("")
    if row.stamped_at is None or not _is_recent(row):
        renew_stamp()
    _sight.keep(live.name)


def _is_recent(row: KnownIndex) -> bool:
    """Whether the stamp is young; one from the future was written under a wrong clock."""
    age = timezone.now() - row.stamped_at if row.stamped_at else None
    return age is not None and timedelta(0) <= age < _STAMP_SECONDS


def _recognise(live: Generation, compare: Callable[[], object]) -> KnownIndex:
    """Look again while no other process renews the stamp, and act on what differs."""
    try:
        with alone() as row:
            older = _is_older(live, row)
            if not older and row.generation != live.name:
                KnownIndex.objects.filter(pk=_PK).update(generation=live.name)
    except IndexRefused as error:
        note_problem(str(error))
        raise
    if older:
        note_healing(
            f"{live.name} is older than the ledger, as after a restored backup: "
            "every record is compared and what differs is embedded again."
        )
        compare()
        renew_stamp()
    note_problem("")
    return get_known()


def _is_older(live: Generation, row: KnownIndex) -> bool:
    """Return whether the index is older than the ledger. Raises IndexRefused."""
    text = get_index().stamp(generation=live.name)
    if text and text in (row.stamp, row.coming):
        return False
    found = _parse(text)
    if found is None:
        if not _is_ours(live):
            raise IndexRefused(_foreign(live))
        return bool(row.stamp)  # else: filled by a version that kept no stamps
    if found.instance != row.instance.hex:
        raise IndexRefused(_foreign(live))
    if found.number >= row.number:
        raise IndexRefused(_newer(live))
    return True


def _is_ours(live: Generation) -> bool:
    """Return whether this ledger filled the generation, or nobody did."""
    return (
        Entry.objects.filter(generation=live.name).exists()
        or Rebuild.objects.filter(generation=live.name).exists()
        or get_index().count(generation=live.name) == 0
    )


def _foreign(live: Generation) -> str:
    collection = _collection()
    return (
        f"The collection {collection!r} ({live.name}, {live.dimension} dimensions) was filled from "
        "another database: expected was one of this shop's own, or none. Set another "
        "MMSEARCH['INDEX']['OPTIONS']['collection']; or, if this database replaces the other one "
        'for good, run "manage.py mmsearch_reindex --take-over".'
    )


def _newer(live: Generation) -> str:
    return (
        f"The collection {_collection()!r} ({live.name}) was written from a newer state or from "
        "another copy of this database. If you restored this database from a backup, run "
        '"manage.py mmsearch_reconcile --take-over". If this is a copy, such as staging, set '
        "another MMSEARCH['INDEX']['OPTIONS']['collection']."
    )


def _collection() -> str:
    return str(getattr(get_index(), "collection", "of the index"))


def renew_after_writing() -> None:
    """Renew the stamp if anything was written since: an older backup differs from then on."""
    if _sight.wrote:
        renew_stamp()


def renew_stamp() -> None:
    """Write a new stamp to the live generation and to the ledger."""
    announce_stamp()
    with alone() as row:
        live = get_index().live()
        if row.coming and live is not None:  # else another process has done it
            get_index().restamp(row.coming, generation=live.name)
            _settle(row, live.name)
    _sight.wrote = False


def promote(name: str) -> None:
    """Make a generation that this ledger filled the live one."""
    announce_stamp()
    with alone() as row:
        stamp_and_promote(name, row)


def stamp_and_promote(name: str, row: KnownIndex) -> None:
    """Do what `promote` does, inside `alone`. Call `announce_stamp` before."""
    get_index().restamp(row.coming or row.stamp, generation=name)
    get_index().promote(name)
    _settle(row, name)


def announce_stamp() -> None:
    """Record the next stamp before it is written.

    A process may die at any point in between: either stamp is known.
    """
    with alone() as row:
        if not row.coming:
            token = secrets.token_hex(4)
            stamp = _Stamp(instance=row.instance.hex, number=row.number + 1, token=token)
            row.coming = str(stamp)
            row.save(update_fields=["coming"])


def _settle(row: KnownIndex, generation: str) -> None:
    """Record that the live generation carries the stamp that was announced."""
    if found := _parse(row.coming):
        row.stamp, row.coming, row.number = row.coming, "", found.number
    row.generation, row.stamped_at = generation, timezone.now()
    row.save(update_fields=["number", "stamp", "coming", "generation", "stamped_at"])


def take_over() -> None:
    """Make this database the one that fills the index, whatever its stamp says."""
    live = get_index().live()
    if live is None:
        return
    found = _parse(get_index().stamp(generation=live.name))
    with alone() as row:
        row.number = max(row.number, found.number if found else 0)
        row.coming = ""
        row.save(update_fields=["number", "coming"])
    renew_stamp()
    note_problem("")
