"""State that must be renewed in a forked child: locks whose holders are not there, threads."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import MethodType

__all__ = ["renew_after_fork"]


def renew_after_fork(renew: Callable[[], None]) -> None:
    """Call `renew` in every child process forked from now on, before anything else runs there.

    A bound method does not keep its object alive: it is called only while the object lives.
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
