"""What the commands say and do about images that are left when nothing waits any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from django.core.management.base import BaseCommand
from django.db.models import Count, Max

from mmsearch_app.conf import get_settings
from mmsearch_app.indexing import Drained, drain, ledger
from mmsearch_app.models import Entry, State
from mmsearch_app.translation import local_time

__all__ = ["describe_leases", "describe_missing", "describe_unusable", "drain_all"]

_PAUSE = 1.0
"""Seconds between two looks at what another worker holds."""


def describe_time(when: datetime) -> str:
    """Return the time in the shop's time zone, if it uses any."""
    return local_time(when).isoformat(" ", "seconds")


def describe_leases() -> str:
    """Return how many images another worker holds, and until when; "" if there are none."""
    held = ledger.leased().aggregate(number=Count("pk"), until=Max("lease_until"))
    if not held["number"]:
        return ""
    return (
        f"{held['number']} images are held by another worker until "
        f"{describe_time(held['until'])}. If it was killed, they are free then "
        "(MMSEARCH['LEASE_SECONDS'])."
    )


def drain_all(command: BaseCommand, *, progress: Callable[[int], object] | None = None) -> Drained:
    """Drain, and wait for what other workers hold, at most until their leases have run out."""
    drained = drain(progress=progress)
    end = time.monotonic() + get_settings().LEASE_SECONDS + 10 * _PAUSE
    if not drained.problem and (held := describe_leases()):
        command.stdout.write(f"Waiting: {held}")
        while not drained.problem and ledger.leased().exists() and time.monotonic() < end:
            time.sleep(_PAUSE)
            drained += drain(progress=progress)
    return drained


def describe_missing() -> str:
    """Return how many files are missing in the storage, with an example; "" if none are."""
    lost = ledger.missing()
    first = lost.order_by("pk").first()
    if first is None:
        return ""
    name = first.error.removeprefix(ledger.MISSING)
    return f"Files missing in the storage: {lost.count()}, such as {name}."


def describe_unusable() -> str:
    """Return how many images could not be used, with an example; "" if all could."""
    unusable = ledger.missing() | Entry.objects.filter(state=State.REJECTED)
    first = unusable.order_by("pk").first()
    if first is None:
        return ""
    return f"None of {unusable.count()} images could be indexed, such as {first}: {first.error}"
