"""Until when an answer is of use to the one who waits for it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import TIMEOUT_MAX, Lock

from mmsearch_app.inference.content import ModelFailed

__all__ = ["last_moment", "require_time", "seconds_left", "turn", "until"]

_deadline: ContextVar[float] = ContextVar("mmsearch_deadline", default=math.inf)
_end: ContextVar[float] = ContextVar("mmsearch_end", default=math.inf)


@contextmanager
def until(deadline: float, *, grace: float = 0.0) -> Iterator[None]:
    """Work in this block is of use until `deadline`, a time of `time.monotonic`.

    What is begun by then may take `grace` seconds more: its result is kept for the next one
    who asks. Behind them it stops.
    """
    tokens = _deadline.set(deadline), _end.set(deadline + grace)
    try:
        yield
    finally:
        _deadline.reset(tokens[0])
        _end.reset(tokens[1])


def last_moment() -> float:
    """The deadline, a time of `time.monotonic`; infinity where nobody waits.

    Other threads do not inherit it: ask before starting them.
    """
    return _deadline.get()


def seconds_left() -> float | None:
    """Seconds until the deadline, negative behind it; None where nobody waits."""
    deadline = last_moment()
    return None if math.isinf(deadline) else deadline - time.monotonic()


@contextmanager
def turn(lock: Lock, *, or_else: str) -> Iterator[None]:
    """Hold the lock. Raises ModelFailed, saying `or_else`, where it is not free by the deadline."""
    left = max(0.0, last_moment() - time.monotonic())
    if not lock.acquire(timeout=min(left, TIMEOUT_MAX)):
        raise ModelFailed(or_else)
    try:
        yield
    finally:
        lock.release()


def require_time() -> None:
    """Raise ModelFailed once the grace is over as well: for work that comes in small steps."""
    if time.monotonic() >= _end.get():
        msg = "No time is left to ask the model."
        raise ModelFailed(msg)
