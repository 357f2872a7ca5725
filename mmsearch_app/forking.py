"""What a forked child must not take over: locks that threads hold which it does not have."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["Resettable", "call_after_fork", "reset_after_fork"]


class Resettable(Protocol):
    """Holds locks, or waits for threads."""

    def _reset(self) -> None:
        """New locks, and nothing under way."""
        ...


def call_after_fork(reset: Callable[[], None]) -> None:
    """Call it first in every child that is forked from now on; where nothing forks, never."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)


def reset_after_fork(thing: Resettable) -> None:
    """Have its `_reset` called in every child that is forked while it lives."""
    known = weakref.ref(thing)

    def reset() -> None:
        if (found := known()) is not None:
            found._reset()

    call_after_fork(reset)
