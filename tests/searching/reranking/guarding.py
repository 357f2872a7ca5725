"""Helpers for tests of the guard."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mmsearch_app.searching.guard import Guard, TooSlow
from tests.waiting import until


def run(
    guard: Guard[Any],
    key: str,
    work: Callable[[], Any],
    *,
    seconds: float = 600.0,
    count_failure: bool = True,
) -> Any:
    deadline = time.monotonic() + seconds
    return guard.run(key, work, deadline=deadline, count_failure=count_failure)


def fail() -> None:
    raise ConnectionError("down")


def fill(guard: Guard[Any], start: Any, gate: threading.Event, count: int) -> list[dict[str, Any]]:
    begun = [start(guard, f"hold-{n}", lambda: gate.wait(60)) for n in range(count)]
    until(lambda: len(guard._calls) == count)
    return begun


def miss(guard: Guard[Any], key: str, gate: threading.Event, *, count_failure: bool = True) -> None:
    """Run work that hangs at the gate and misses its deadline."""
    for _ in range(2):  # by the second time, a thread that was slow to start has begun
        with pytest.raises(TooSlow):
            run(guard, key, lambda: gate.wait(60), seconds=0.03, count_failure=count_failure)
        until(lambda: guard._calls[key].started)


def end_pause(guard: Guard[Any]) -> None:
    """End the pause that follows failures."""
    guard._circuit._open_until = 0.0
