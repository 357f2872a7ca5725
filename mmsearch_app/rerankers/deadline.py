"""Until when an answer is of use to the one who waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["seconds_left", "until"]

_deadline: ContextVar[float | None] = ContextVar("mmsearch_deadline", default=None)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Work in this block is of use until `deadline`, a time of `time.monotonic`."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float | None:
    """Seconds until the deadline, negative behind it; None where nobody waits.

    Other threads do not inherit the deadline: ask before starting them.
    """
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()
