"""The verbs on the ledger: mark, claim, finish, fail, release.

A mark is one statement in the caller's transaction. Work is claimed under a lease and finished
by compare-and-swap on the version token, so that a save during the work is never lost.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, connections, router, transaction
from django.db.models import Case, F, Q, QuerySet, When
from django.utils import timezone

from mmsearch_app.conf import get_settings
from mmsearch_app.indexing import notify
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import key_of

__all__ = [
    "Outcome",
    "Pause",
    "change",
    "claim",
    "counts",
    "fail",
    "finish",
    "lock",
    "mark_rows",
    "pause",
    "paused",
    "release",
    "retry",
    "waiting",
]

log = logging.getLogger(__name__)

_CHUNK = 500


def lock(rows: QuerySet[Entry]) -> QuerySet[Entry]:
    """Those of the rows that nobody holds, locked until the transaction ends."""
    features = connections[router.db_for_write(Entry)].features
    return rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)


def change(rows: QuerySet[Entry], **values: Any) -> int:
    """`rows.update(**values)`, but those that a transaction holds come last, one by one."""
    using, count = router.db_for_write(Entry), 0
    pks = list(rows.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(pks), _CHUNK):
        chunk = pks[start : start + _CHUNK]
        with transaction.atomic(using=using):
            free = set(lock(rows.filter(pk__in=chunk)).values_list("pk", flat=True))
            count += rows.filter(pk__in=free).update(**values)
        count += sum(rows.filter(pk=pk).update(**values) for pk in chunk if pk not in free)
    return count


class Pause:
    """The marks held back by one block of code.

    A task or thread that was begun in the block has a copy of its context, with this same
    object, and may live longer: what it marks after the block is not taken any more.
    """

    def __init__(self) -> None:
        self.closed = False
        self._marks: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def take(self, marks: Iterable[tuple[str, str]]) -> bool:
        """Hold the marks back; False when the block is over."""
        with self._lock:
            if not self.closed:
                self._marks.update(marks)
            return not self.closed

    def close(self) -> set[tuple[str, str]]:
        """End the block; returns what is to be written."""
        with self._lock:
            self.closed = True
            return self._marks


pause: ContextVar[Pause | None] = ContextVar("mmsearch_pause", default=None)


_CHUNK = 500
_REST = {"due_at": None, "lease_until": None}
_MARKED = ["present", "wanted", "state", "due_at", "attempts", "marked_at"]


def mark_rows(source: str, pks: Iterable[Any], *, present: bool = True, force: bool = False) -> int:
    """Say that rows of a source changed (or, with `present=False`, seem to be gone).

    Returns how many. In either case the worker looks at the row and decides.
    One statement for up to 500 rows (SQLite takes fewer). With `force` the pictures are
    embedded anew even where their content is as before.
    """
    keys = set(map(key_of, pks))
    marks = {(source, key) for key in keys}
    held = pause.get()
    if force or held is None or not held.take(marks):
        _write(marks, present=present, force=force)
    return len(keys)


def _write(marks: Iterable[tuple[str, str]], *, present: bool = True, force: bool = False) -> None:
    now = timezone.now()
    entries = [
        Entry(source=source, object_pk=key, present=present, due_at=now, marked_at=now)
        for source, key in sorted(marks)  # one order for all, or two writers may deadlock
    ]
    for start in range(0, len(entries), _CHUNK):
        Entry.objects.bulk_create(
            entries[start : start + _CHUNK],
            update_conflicts=True,
            unique_fields=["source", "object_pk"],
            update_fields=[*_MARKED, "content"] if force else _MARKED,
        )


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Hold all marks of this thread (or task) back and write them together at the end.

    For imports: one statement for 500 rows instead of one for each. The worker finds out
    which of them still exist, so that a delete which is rolled back in the block removes
    nothing. Nothing is lost when the block raises; a killed process loses the marks held, and
    `mmsearch_reconcile` finds them.
    """
    outer = pause.get()
    if outer is not None and not outer.closed:
        yield
        return
    held = Pause()
    token = pause.set(held)
    try:
        yield
    except BaseException:
        pause.reset(token)
        _write_after_error(held.close())
        raise
    pause.reset(token)
    _write(held.close())
    notify.after_commit()


def _write_after_error(held: set[tuple[str, str]]) -> None:
    """Write what can be written: in a transaction that is broken, all of it is undone anyway."""
    try:
        _write(held)
    except DatabaseError as error:
        log.warning("%d marks were not written: %s", len(held), error)
    else:
        notify.after_commit()


def waiting(*, at: datetime | None = None) -> QuerySet[Entry]:
    """Entries with work to do now: due, and not held by another worker."""
    now = at or timezone.now()
    return Entry.objects.filter(due_at__lte=now).filter(
        Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    )


def claim(limit: int) -> list[Entry]:
    """Take up to `limit` waiting entries under a lease; no two workers get the same one."""
    using = router.db_for_write(Entry)
    with transaction.atomic(using=using):
        now = timezone.now()
        due = waiting(at=now).using(using).order_by("due_at", "pk")
        taken = list(lock(due)[:limit])
        until = now + timedelta(seconds=get_settings().LEASE_SECONDS)
        Entry.objects.using(using).filter(pk__in=[entry.pk for entry in taken]).update(
            lease_until=until
        )
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a claimed entry."""

    entry: Entry
    state: State
    error: str = ""
    digest: str = ""
    content: str = ""
    signature: str = ""
    generation: str = ""


def finish(outcomes: Sequence[Outcome], *, holds: Callable[[], bool] | None = None) -> int:
    """Record outcomes, the free ones in one transaction; returns how many were still current.

    An entry that was marked meanwhile stays due. It is marked once more, because this worker
    may have written to the index after another one that knew better.

    `holds` tells, when all is recorded, whether it is still true: the index may have moved on.
    Until then the entries stay due under their lease, so that a worker which dies in between
    leaves them to the next one; where it is not true, they are marked once more.
    """
    left = {outcome.entry.pk: outcome for outcome in outcomes}
    with transaction.atomic(using=router.db_for_write(Entry)):
        free = lock(Entry.objects.filter(pk__in=left)).values_list("pk", flat=True)
        current = [o.entry for pk in list(free) if _settle(o := left.pop(pk), rest=not holds)]
    current += [o.entry for o in left.values() if _settle(o, rest=not holds)]
    if holds and current:
        rows = Entry.objects.filter(pk__in=[entry.pk for entry in current])
        done = When(wanted__in=[entry.wanted for entry in current], then=None)  # not marked since
        rest = Case(done, default=F("due_at"))
        change(rows, due_at=rest, lease_until=None) if holds() else retry(rows)
    return len(current)


def _settle(outcome: Outcome, *, rest: bool) -> bool:
    row = Entry.objects.filter(pk=outcome.entry.pk)
    columns = _columns(outcome) | (_REST if rest else {})
    if row.filter(wanted=outcome.entry.wanted).update(**columns):
        return True
    again = {"due_at": timezone.now(), "wanted": uuid.uuid4(), "state": State.PENDING}
    row.update(lease_until=None, **again)
    return False


def _columns(outcome: Outcome) -> dict[str, Any]:
    return {
        "state": outcome.state,
        "error": outcome.error,
        "digest": outcome.digest,
        "content": outcome.content,
        "signature": outcome.signature,
        "generation": outcome.generation,
        "indexed_at": timezone.now() if outcome.state == State.INDEXED else None,
        "present": outcome.state != State.REMOVED,
        "attempts": 0,
    }


def fail(entries: Sequence[Entry], error: str) -> None:
    """Count a failed attempt: try again later, twice as late each time, at last give up."""
    settings = get_settings()
    for entry in entries:
        attempts = entry.attempts + 1
        wait = min(settings.RETRY_SECONDS * 2 ** (attempts - 1), 3600)
        gave_up = attempts >= settings.MAX_ATTEMPTS
        Entry.objects.filter(pk=entry.pk, wanted=entry.wanted).update(
            attempts=attempts,
            error=error[:2000],
            signature=entry.signature,
            state=State.FAILED if gave_up else State.PENDING,
            due_at=None if gave_up else timezone.now() + timedelta(seconds=wait),
        )
    change(Entry.objects.filter(pk__in=[entry.pk for entry in entries]), lease_until=None)


def release(entries: Sequence[Entry], *, error: str = "", wait: float = 0) -> None:
    """Give claimed entries back, untouched: it was not their fault (an outage)."""
    later = timezone.now() + timedelta(seconds=wait)
    rows = Entry.objects.filter(pk__in=[entry.pk for entry in entries])
    change(rows.filter(due_at__isnull=False), lease_until=None, due_at=later, error=error[:2000])
    change(rows, lease_until=None)


def retry(entries: QuerySet[Entry]) -> int:
    """Make entries due now, whatever their state, with all attempts ahead of them."""
    return change(
        entries,
        wanted=uuid.uuid4(),
        due_at=timezone.now(),
        attempts=0,
        state=State.PENDING,
        lease_until=None,
    )


def counts() -> dict[str, int]:
    """How many entries are in each state; every state is named."""
    from django.db.models import Count

    found = dict(Entry.objects.order_by().values_list("state").annotate(Count("pk")))
    return {state.value: found.get(state.value, 0) for state in State}
