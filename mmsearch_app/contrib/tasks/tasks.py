"""The tasks `drain` and `reconcile` for django.tasks."""

from __future__ import annotations

import math
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.conf import settings

from mmsearch_app import indexing
from mmsearch_app.contrib.queue import SHIFT_SECONDS, Shifts
from mmsearch_app.inference import needing

__all__ = ["drain", "is_immediate", "reconcile", "wake"]

with needing("tasks"):
    _library: Any = import_module("django.tasks" if find_spec("django.tasks") else "django_tasks")
_ALIAS = "mmsearch" if "mmsearch" in getattr(settings, "TASKS", {}) else "default"
"""`TASKS["mmsearch"]`, if a shop defines it, gives these tasks workers of their own."""


@_library.task(backend=_ALIAS)  # type: ignore[untyped-decorator]
def drain(*, seconds: float = SHIFT_SECONDS) -> str:
    """Index due images for about `seconds`; the next task continues."""
    return shifts.work(seconds=math.inf if is_immediate() else seconds)


@_library.task(backend=_ALIAS)  # type: ignore[untyped-decorator]
def reconcile(*names: str, deep: bool = False, files: bool = False) -> dict[str, int]:
    """Mark changes that sent no signal. Arguments as for `mmsearch_reconcile`."""
    return asdict(indexing.reconcile(*names, deep=deep, files=files))


def is_immediate() -> bool:
    """Return whether tasks run at once, in the process that enqueues them."""
    immediate = import_module(f"{_library.__name__}.backends.immediate")
    return isinstance(drain.get_backend(), immediate.ImmediateBackend)


def wake() -> None:
    """Enqueue `drain` unless one waits or runs. Never raises."""
    shifts.wake()


shifts = Shifts(queue="tasks", enqueue=lambda: drain.enqueue())
