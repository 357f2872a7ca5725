"""Progress of indexing and of a rebuild, and whether a worker is running."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mmsearch_app.conf import get_settings
from mmsearch_app.indexing import ledger, stamps
from mmsearch_app.models import Entry, Rebuild, State

_PATIENCE = timedelta(minutes=1)
"""Work that no worker has touched for this long is worth a warning."""


def describe_worker() -> str:
    """Return a sentence that says which process does the marked work."""
    if get_settings().WORKER_THREAD:
        return _("A thread of the shop's own process does the work in the background.")
    return _('The worker command does the work in the background: "manage.py mmsearch_worker".')


def _advise() -> str:
    if get_settings().WORKER_THREAD:
        return _("See the log of the process that serves the shop.")
    return _('Is "manage.py mmsearch_worker" running? Its log says what is wrong.')


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a rebuild, for the page and its script."""

    open: bool
    done: int
    total: int
    percent: int | None
    """None until the images are counted."""
    text: str
    warning: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def measure_rebuild(row: Rebuild) -> Progress:
    begun = bool(row.generation)
    return Progress(
        open=row.open,
        done=row.done,
        total=row.total,
        percent=_percent(row) if begun or not row.open else None,
        text=_describe(row, begun=begun),
        warning=_warn(row) if row.open else "",
    )


def _percent(row: Rebuild) -> int:
    """Return at most 99 for an open rebuild: the last step is the switch."""
    if not row.open:
        return 100
    return min(99, 100 * row.done // row.total) if row.total else 99


def _describe(row: Rebuild, *, begun: bool) -> str:
    numbers = {"done": row.done, "total": row.total}
    if not row.open:
        return (
            ngettext("%(total)d picture, done.", "%(total)d pictures, done.", row.total) % numbers
        )
    if not begun:
        return _("Asked for; waiting for a worker to begin.")
    if row.done >= row.total:
        return _("All pictures are in the new index; catching up and switching over.")
    return _("%(done)d of %(total)d pictures are in the new index.") % numbers


def _warn(row: Rebuild) -> str:
    if row.error:
        return row.explanation
    idle = timezone.now() - _last_step(row)
    if idle < _PATIENCE:
        return ""
    words = _("Nothing has moved for %(time)s.") % {"time": timesince(timezone.now() - idle)}
    return f"{words} {_advise()}"


def _last_step(row: Rebuild) -> datetime:
    """Return the time of the last step, which renewed the lease."""
    if row.lease_until is None:
        return row.requested_at
    return row.lease_until - timedelta(seconds=get_settings().LEASE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The entries by state, and how many of them wait."""

    counts: dict[State, int]
    queued: int
    """Entries that a worker will take, now or later."""
    warning: str = ""


def count_queued() -> int:
    """Return how many entries a worker will take, now or later."""
    return Entry.objects.filter(due_at__isnull=False).count()


def measure_backlog() -> Backlog:
    """Count the entries, in five short queries."""
    counts = ledger.counts()
    return Backlog(
        counts={state: counts[state.value] for state in State},
        queued=count_queued(),
        warning=" ".join(filter(None, [_warn_of_index(), _warn_of_idleness()])),
    )


def _warn_of_index() -> str:
    """Return why nothing is written to the index, or what is being repaired while it waits."""
    known = stamps.find_known()
    if known is None:
        return ""
    healing = known.is_healing and ledger.waiting().exists()
    return known.problem or (known.healed if healing else "")


def _warn_of_idleness() -> str:
    now = timezone.now()
    first = ledger.waiting(at=now - _PATIENCE).order_by("due_at").first()
    leased = Q(lease_until__gt=now)
    if (
        first is None
        or first.due_at is None
        or Entry.objects.filter(leased, due_at__lte=now).exists()
    ):
        return ""
    if Rebuild.objects.filter(leased, open=True).exists():
        return ""
    words = _("Pictures have been waiting for %(time)s and no worker is at work on them.")
    return f"{words % {'time': timesince(first.due_at, now)}} {_advise()}"
