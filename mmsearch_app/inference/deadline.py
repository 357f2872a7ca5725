"""The time until which the caller of a model waits for its answer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import TIMEOUT_MAX, Lock

from mmsearch_app.inference.content import ModelFailed

_deadline: ContextVar[float] = ContextVar("mmsearch_deadline", default=math.inf)
_end: ContextVar[float] = ContextVar("mmsearch_end", default=math.inf)


@contextmanager
def until(deadline: float, *, grace: float = 0.0) -> Iterator[None]:
    """Set the deadline of the work in this block, in seconds of `time.monotonic`.

    Work that has begun by then may run for `grace` seconds more, because its result is cached
    for the next caller; after that, `require_time` stops it.
    """
    tokens = _deadline.set(deadline), _end.set(deadline + grace)
    try:
        yield
    finally:
        _deadline.reset(tokens[0])
        _end.reset(tokens[1])


def last_moment() -> float:
    """Return the deadline in seconds of `time.monotonic`; infinity if none is set.

    Threads do not inherit the deadline: read it before starting them.
    """
    return _deadline.get()


@contextmanager
def turn(lock: Lock, *, or_else: str) -> Iterator[None]:
    """Hold the lock. Raise ModelFailed(or_else) if it is not free by the deadline."""
    left = max(0.0, last_moment() - time.monotonic())
    if not lock.acquire(timeout=min(left, TIMEOUT_MAX)):
        raise ModelFailed(or_else)
    try:
        yield
    finally:
        lock.release()


def require_time() -> None:
    """Raise ModelFailed if the deadline and its grace have passed.

    Work that runs in small steps calls this before each of them.
    """
    if time.monotonic() >= _end.get():
        msg = "No time is left to ask the model."
        raise ModelFailed(msg)
