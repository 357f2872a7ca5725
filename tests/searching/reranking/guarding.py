"""Helpers for tests of the guard."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from mmsearch_app.searching.guard import Guard
from tests.waiting import until


def run(
    guard: Guard[Any],
    key: str,
    work: Callable[[], Any],
    *,
    seconds: float = 5.0,
    count_failure: bool = True,
) -> Any:
    deadline = time.monotonic() + seconds
    return guard.run(key, work, deadline=deadline, count_failure=count_failure)


def fail() -> None:
    raise ConnectionError("down")


def fill(guard: Guard[Any], start: Any, gate: threading.Event, count: int) -> list[dict[str, Any]]:
    begun = [start(guard, f"hold-{n}", lambda: gate.wait(10)) for n in range(count)]
    until(lambda: len(guard._calls) == count)
    return begun
