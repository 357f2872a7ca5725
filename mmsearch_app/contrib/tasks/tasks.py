"""The tasks `drain` and `reconcile` for django.tasks."""

from __future__ import annotations

import math
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.conf import settings

from mmsearch_app import indexing
from mmsearch_app.contrib.queue import SHIFT, Shifts
from mmsearch_app.inference import needing

__all__ = ["drain", "is_immediate", "poke", "reconcile"]

with needing("tasks"):
    _library: Any = import_module("django.tasks" if find_spec("django.tasks") else "django_tasks")
_ALIAS = "mmsearch" if "mmsearch" in getattr(settings, "TASKS", {}) else "default"
"""A shop that wants workers of its own for this (with a GPU, say) adds `TASKS["mmsearch"]`."""


@_library.task(backend=_ALIAS)  # type: ignore[untyped-decorator]
def drain(*, seconds: float = SHIFT) -> str:
    """Index what waits, for about so many seconds; the rest is for the next task."""
    return shifts.work(seconds=math.inf if is_immediate() else seconds)


@_library.task(backend=_ALIAS)  # type: ignore[untyped-decorator]
def reconcile(*names: str, deep: bool = False, files: bool = False) -> dict[str, int]:
    """Mark what no signal told; the same arguments as `mmsearch_reconcile`."""
    return asdict(indexing.reconcile(*names, deep=deep, files=files))


def is_immediate() -> bool:
    """Whether tasks run at once, in the process that enqueues them."""
    immediate = import_module(f"{_library.__name__}.backends.immediate")
    return isinstance(drain.get_backend(), immediate.ImmediateBackend)


def poke() -> None:
    """Enqueue `drain` unless one waits or is at work; never raises. Called after the commit."""
    shifts.poke()


shifts = Shifts(queue="tasks", enqueue=lambda: drain.enqueue())
