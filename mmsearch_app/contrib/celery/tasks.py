"""The tasks `mmsearch.drain` and `mmsearch.reconcile`, for workers and for beat."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from mmsearch_app import indexing
from mmsearch_app.contrib.queue import SHIFT_SECONDS, Shifts
from mmsearch_app.inference import needing

with needing("celery"):
    from celery import shared_task

__all__ = ["drain", "reconcile", "wake"]


@shared_task(name="mmsearch.drain", bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def drain(self: Any, *, seconds: float = SHIFT_SECONDS) -> str:
    """Index due images for about `seconds`; the next task continues.

    Schedule it with beat, every minute: retries become due by time, not by a save.
    """
    return shifts.work(seconds=math.inf if self.request.is_eager else seconds)


@shared_task(name="mmsearch.reconcile", ignore_result=True)  # type: ignore[untyped-decorator]
def reconcile(*names: str, deep: bool = False, files: bool = False) -> dict[str, int]:
    """Mark changes that sent no signal. Arguments as for `mmsearch_reconcile`."""
    return asdict(indexing.reconcile(*names, deep=deep, files=files))


def wake() -> None:
    """Send `mmsearch.drain` unless one waits or runs. Never raises and never blocks.

    Sent from a thread, because an unavailable broker blocks the sender for seconds even without
    retries; not if tasks run eagerly, as in a shop's tests.
    """
    shifts.wake(in_thread=not drain.app.conf.task_always_eager)


shifts = Shifts(queue="celery", enqueue=lambda: drain.apply_async(retry=False))
