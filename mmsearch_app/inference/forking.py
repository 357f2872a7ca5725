"""Renewing, in a forked child, state that it must not share with its parent: locks, threads."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import MethodType


def renew_after_fork(renew: Callable[[], None]) -> None:
    """Call `renew` in every child process forked from now on, before anything else runs there.

    A lock that another thread held during the fork would stay locked in the child for ever,
    because that thread does not exist there.

    If `renew` is a bound method, its object is referenced weakly: it can be collected, and is
    then no longer renewed.
    """
    if not hasattr(os, "register_at_fork"):
        return
    find: Callable[[], Callable[[], None] | None] = (
        weakref.WeakMethod(renew) if isinstance(renew, MethodType) else lambda: renew
    )

    def call() -> None:
        if (found := find()) is not None:
            found()

    os.register_at_fork(after_in_child=call)
