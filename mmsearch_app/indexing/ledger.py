"""The verbs of work on the ledger: claim, finish, fail, release. `marks` says what is to be done.

Work is claimed under a lease and finished by compare-and-swap on the version token, so that a
save during the work is never lost.
"""

from __future__ import annotations

import copy
import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from random import uniform
from typing import Any, TypeVar

from django.db import connections, router
from django.db.models import Case, Count, F, Q, QuerySet, When
from django.utils import timezone

from mmsearch_app.conf import get_settings
from mmsearch_app.indexing.transactions import in_transaction
from mmsearch_app.models import Entry, State

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_CHUNK = 500
_PAGE = 2000
LONGEST_WAIT = 3600
"""Seconds that an entry waits at most for its next attempt."""
SKEW = timedelta(minutes=5)
"""How far the clocks of the shop's machines may differ."""
_RECORDED = ["state", "error", "digest", "content", "signature", "generation"]


def in_chunks(items: Iterable[_T], size: int = _CHUNK) -> Iterator[list[_T]]:
    """Yield the items in lists of up to `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def by_key(rows: QuerySet[Any, Any], size: int = _PAGE) -> Iterator[list[Any]]:
    """Yield what has a `pk` in lists of up to `size`, ordered by primary key.

    Each list is a query of its own, read to its end: what is in memory does not grow with the
    number of rows, whatever the database's client does with cursors.
    """
    rest = rows = rows.order_by("pk")
    while page := list(rest[:size]):
        yield page
        if len(page) < size:
            return
        rest = rows.filter(pk__gt=page[-1].pk)


def keys_of_rows(rows: QuerySet[Any, Any]) -> Iterator[Any]:
    """Yield the primary keys in order, with few of them in memory."""
    for page in by_key(rows.values_list("pk", named=True)):
        yield from (row.pk for row in page)


# Locks


def write_free_first(
    pks: Iterable[int], write: Callable[[list[int]], _T], *, among: QuerySet[Entry] | None = None
) -> list[_T]:
    """Call `write` with the keys of free entries, in one transaction per 500, then of locked ones.

    An entry that a transaction of the shop has locked comes last and alone: waiting for it then
    keeps no other entry locked. Entries that `among` no longer contains are left out. Returns
    what the calls returned that were committed.
    """
    entries = Entry.objects.all() if among is None else among
    written: list[_T] = []
    for chunk in in_chunks(pks):

        def write_free(chunk: list[int] = chunk) -> tuple[list[int], _T]:
            free = list(_lock(entries.filter(pk__in=chunk)).values_list("pk", flat=True))
            return free, write(free)

        def write_locked(pk: int) -> _T:
            waited_for = entries.filter(pk=pk).select_for_update()
            return write(list(waited_for.values_list("pk", flat=True)))

        free, first = in_transaction(write_free)
        written.append(first)
        for pk in sorted(set(chunk).difference(free)):
            written.append(in_transaction(partial(write_locked, pk)))
    return written


def _lock(rows: QuerySet[Entry]) -> QuerySet[Entry]:
    """Narrow to the rows that are free, and lock these until the transaction ends."""
    features = connections[router.db_for_write(Entry)].features
    return rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)


def change(rows: QuerySet[Entry], **values: Any) -> int:
    """Do `rows.update(**values)`, free entries first. Returns how many rows changed."""

    def update(pks: list[int]) -> int:
        # By the primary key alone: InnoDB locks every entry of the index by which it searches.
        return Entry.objects.filter(pk__in=pks).update(**values)

    return sum(write_free_first(keys_of_rows(rows), update, among=rows))


def overwrite(entries: Sequence[Entry], columns: Sequence[str]) -> None:
    """Write these columns of entries, whose rows exist and are locked, in one statement.

    An UPDATE for each costs several times as much, and so does the CASE of `bulk_update`.
    """
    if entries:
        conflict = conflict_columns(columns, unique=["id"])
        Entry.objects.bulk_create(entries, update_conflicts=True, **conflict)


def conflict_columns(updated: Sequence[str], *, unique: Sequence[str]) -> dict[str, Any]:
    """Return the columns that an upsert of known entries changes, and those that identify them."""
    features = connections[router.db_for_write(Entry)].features
    # MySQL and MariaDB take no conflict target.
    targeted = features.supports_update_conflicts_with_target
    return {"update_fields": updated, "unique_fields": unique if targeted else []}


# Work


def lease_is_free(*, at: datetime | None = None) -> Q:
    """Return the condition for rows of which no worker has a lease.

    A lease that ends an hour later than any that is given now was taken under a wrong clock.
    """
    now = at or timezone.now()
    longest = now + timedelta(seconds=get_settings().LEASE_SECONDS + LONGEST_WAIT)
    return Q(lease_until__isnull=True) | Q(lease_until__lt=now) | Q(lease_until__gt=longest)


def waiting(*, at: datetime | None = None) -> QuerySet[Entry]:
    """Return the entries with work to do now: due, and not leased by a worker."""
    now = at or timezone.now()
    return Entry.objects.filter(lease_is_free(at=now), due_at__lte=now)


def leased() -> QuerySet[Entry]:
    """Return the entries that are due and that a worker is at work on, or died at work on."""
    return Entry.objects.filter(due_at__isnull=False).exclude(lease_is_free())


def correct_times(*, thorough: bool = False) -> int:
    """Correct what was written under a wrong clock. Returns how many entries it made due.

    An entry due later than any wait explains is due now. With `thorough` also the times in the
    future at which entries were marked or indexed become the present, which reads every entry.
    """
    now = timezone.now()
    wait = timedelta(seconds=2 * max(LONGEST_WAIT, get_settings().RETRY_SECONDS))
    late = Entry.objects.filter(due_at__gt=now + wait)
    freed = change(late, due_at=now)
    if thorough:
        for name in ("marked_at", "indexed_at"):
            change(Entry.objects.filter(**{f"{name}__gt": now + SKEW}), **{name: now})
    return freed


def claim(limit: int) -> list[Entry]:
    """Take up to `limit` waiting entries under a lease; no two workers get the same one."""
    return in_transaction(partial(_claim, limit))


def _claim(limit: int) -> list[Entry]:
    taken = list(_lock(waiting().order_by("due_at", "pk"))[:limit])
    lease = uuid.uuid4()
    until = _lease([entry.pk for entry in taken], lease=lease)
    for entry in taken:
        entry.lease, entry.lease_until = lease, until
    return taken


def renew(entries: Sequence[Entry]) -> None:
    """Extend the leases of claimed entries, except those that another worker has taken meanwhile.

    An entry that a transaction of the shop has locked is not waited for: its lease runs on, and
    can be renewed the next time.
    """

    def extend() -> tuple[set[int], datetime]:
        mine = set(_lock(_claimed(entries)).values_list("pk", flat=True))
        return mine, _lease(mine)

    mine, until = in_transaction(extend)
    for entry in entries:
        if entry.pk in mine:
            entry.lease_until = until


def _lease(pks: Collection[int], **columns: Any) -> datetime:
    until = timezone.now() + timedelta(seconds=get_settings().LEASE_SECONDS)
    Entry.objects.filter(pk__in=pks).update(lease_until=until, **columns)
    return until


def _claimed(entries: Sequence[Entry]) -> QuerySet[Entry]:
    """Return those of the entries that are still leased by the claim that they came from."""
    return Entry.objects.filter(
        pk__in=[entry.pk for entry in entries], lease__in={entry.lease for entry in entries}
    )


NO_LEASE: dict[str, Any] = {"lease": None, "lease_until": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a claimed entry: the columns to record."""

    entry: Entry
    state: State
    error: str = ""
    digest: str = ""
    content: str = ""
    signature: str = ""
    generation: str = ""


def finish(outcomes: Sequence[Outcome], *, still_live: Callable[[], bool] | None = None) -> int:
    """Record outcomes. Returns how many entries were not marked since they were claimed.

    An entry that was marked meanwhile, or whose lease ran out and was taken by another worker,
    stays due and is marked once more, because this worker may have overwritten in the index what
    another worker wrote from the newer version.

    `still_live` is called when all outcomes are recorded, and returns whether the generation that
    they were written to is still live. Until then the entries stay due under their lease, so that
    a worker that dies in between leaves them to the next one. If it returns False, the entries
    are queued again.
    """
    by_pk = {outcome.entry.pk: outcome for outcome in outcomes}
    stay_due = still_live is not None

    def record(pks: list[int]) -> list[Entry]:
        return _record([by_pk[pk] for pk in pks], stay_due=stay_due)

    current = [entry for entries in write_free_first(by_pk, record) for entry in entries]
    if still_live is not None and current:
        rows = _claimed(current)
        if still_live():
            unmarked = When(wanted__in=[entry.wanted for entry in current], then=None)
            change(rows, due_at=Case(unmarked, default=F("due_at")), **NO_LEASE)
        else:
            retry(rows)
    return len(current)


def _record(outcomes: Sequence[Outcome], *, stay_due: bool) -> list[Entry]:
    """Record the outcomes that are not out of date; mark the entries of the others again.

    Returns the entries of the former. All are locked.
    """
    entries = [outcome.entry for outcome in outcomes]
    # A token is never given out twice, so it belongs to the entry that was claimed with it.
    unmarked = _claimed(entries).filter(wanted__in={entry.wanted for entry in entries})
    current = set(unmarked.select_for_update().values_list("pk", flat=True))
    columns = [*_RECORDED, "attempts", "present", "indexed_at"]
    if not stay_due:
        columns += ["due_at", *NO_LEASE]
    overwrite([_recorded(o) for o in outcomes if o.entry.pk in current], columns)
    for entry in entries:
        if entry.pk not in current:
            row = Entry.objects.filter(pk=entry.pk)
            row.update(wanted=uuid.uuid4(), due_at=timezone.now(), state=State.PENDING)
            _claimed([entry]).update(**NO_LEASE)
    return [entry for entry in entries if entry.pk in current]


def _recorded(outcome: Outcome) -> Entry:
    """Return a copy of the entry with its outcome, not due and not leased."""
    entry = copy.copy(outcome.entry)
    for name in _RECORDED:
        setattr(entry, name, getattr(outcome, name))
    entry.attempts = 0
    entry.present = outcome.state != State.REMOVED
    entry.indexed_at = timezone.now() if outcome.state == State.INDEXED else None
    entry.due_at = entry.lease = entry.lease_until = None
    return entry


def fail(entries: Sequence[Entry], error: str) -> None:
    """Count a failed attempt: retry after twice the last wait, or give up after the last one.

    What failed together does not come back together: each wait is up to a quarter longer or
    shorter.
    """
    settings = get_settings()
    for entry in entries:
        attempts = entry.attempts + 1
        wait = _spread(min(settings.RETRY_SECONDS * 2 ** (attempts - 1), LONGEST_WAIT))
        gave_up = attempts >= settings.MAX_ATTEMPTS
        _claimed([entry]).filter(wanted=entry.wanted).update(
            attempts=attempts,
            error=error[:2000],
            signature=entry.signature,
            state=State.FAILED if gave_up else State.PENDING,
            due_at=None if gave_up else timezone.now() + timedelta(seconds=wait),
        )
    change(_claimed(entries), **NO_LEASE)


def release(entries: Sequence[Entry], *, error: str = "", wait: float = 0) -> None:
    """Give claimed entries back, due in about `wait` seconds, without counting an attempt."""
    later = timezone.now() + timedelta(seconds=_spread(wait))
    rows = _claimed(entries)
    waits = rows.filter(due_at__isnull=False)
    change(waits, due_at=later, error=error[:2000], **NO_LEASE)
    change(rows, **NO_LEASE)


def _spread(seconds: float) -> float:
    return seconds * uniform(0.75, 1.25)  # noqa: S311, no secret


def retry(entries: QuerySet[Entry]) -> int:
    """Make entries due now, whatever their state, and reset their attempts."""
    return change(
        entries,
        wanted=uuid.uuid4(),
        due_at=timezone.now(),
        attempts=0,
        state=State.PENDING,
        **NO_LEASE,
    )


MISSING = "The file is missing: "
"""How the error of an entry begins whose row names a file that does not exist."""


def missing() -> QuerySet[Entry]:
    """Return the entries that are without an image because their file does not exist."""
    return Entry.objects.filter(state=State.EMPTY, error__startswith=MISSING)


def counts() -> dict[str, int]:
    """Return how many entries are in each state; states without entries are 0."""
    found = dict(Entry.objects.order_by().values_list("state").annotate(Count("pk")))
    return {state.value: found.get(state.value, 0) for state in State}
