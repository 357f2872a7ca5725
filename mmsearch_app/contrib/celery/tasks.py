"""The tasks `mmsearch.drain` and `mmsearch.reconcile`, for workers and for beat."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from mmsearch_app import indexing
from mmsearch_app.contrib.queue import SHIFT, Shifts
from mmsearch_app.inference import needing

with needing("celery"):
    from celery import shared_task

__all__ = ["drain", "poke", "reconcile"]


@shared_task(name="mmsearch.drain", bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def drain(self: Any, *, seconds: float = SHIFT) -> str:
    """Index what waits, for about so many seconds; the rest is for the next task.

    For beat, every minute: what failed is tried again by the clock, not by a save.
    """
    return shifts.work(seconds=math.inf if self.request.is_eager else seconds)


@shared_task(name="mmsearch.reconcile", ignore_result=True)  # type: ignore[untyped-decorator]
def reconcile(*names: str, deep: bool = False, files: bool = False) -> dict[str, int]:
    """Mark what no signal told; the same arguments as `mmsearch_reconcile`."""
    return asdict(indexing.reconcile(*names, deep=deep, files=files))


def poke() -> None:
    """Send `mmsearch.drain` unless one waits or is at work; never raises and never waits.

    In a thread of its own, since a broker that is away holds the sender up for seconds, even
    where nothing is retried. Not so where tasks run eagerly, as in a shop's tests.
    """
    shifts.poke(aside=not drain.app.conf.task_always_eager)


shifts = Shifts(queue="celery", enqueue=lambda: drain.apply_async(retry=False))
