"""Sharing something scarce, such as memory or a model, among the threads of one process."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mmsearch_app.inference.forking import renew_after_fork

_WEIGHT = 0.2
"""Share of the newest measurement in the moving average."""


class Crowded(Exception):
    """The wait would be, or was, longer than the caller accepts."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"Expected to be free in {retry_after:.1f} s.")
        self.retry_after = max(1, math.ceil(retry_after))
        """Whole seconds until it is worth trying again, at least 1."""


@dataclass(slots=True, eq=False)
class _Caller:
    kind: str
    units: int
    woken: threading.Event = field(default_factory=threading.Event)
    """Set when it is admitted."""
    since: float = 0.0
    """When it was admitted, a time of `time.monotonic`."""


class Admission:
    """Admits callers in the order in which they come, while their units fit into a capacity.

    How long a newcomer would wait is estimated from the callers ahead and from a moving average
    of how long one of their kind takes. Who would wait too long is refused at once, so that a
    queue never grows beyond what its callers are willing to wait for. A forked child starts with
    an idle one.
    """

    def __init__(self) -> None:
        self._reset()
        renew_after_fork(self._reset)

    @contextmanager
    def admit(
        self, kind: str, *, units: int = 1, capacity: int, most_seconds: float | None
    ) -> Iterator[None]:
        """Occupy `units` of `capacity` during the block; more than all of it counts as all of it.

        Raises Crowded if the expected wait is longer than `most_seconds`, and if so much time
        passed in vain. With None the caller waits for as long as it takes.
        """
        caller = _Caller(kind, min(units, capacity))
        completed = False
        try:
            self._enter(caller, capacity, most_seconds)
            yield
            completed = True
        finally:
            self._leave(caller, capacity, completed=completed)

    def check(self, *, capacity: int, most_seconds: float) -> None:
        """Raise Crowded if a caller would be refused now."""
        with self._lock:
            self._refuse(_Caller("", 1), capacity, most_seconds)

    def expected_wait(self, *, units: int = 1, capacity: int) -> float:
        """Return for how many seconds a newcomer would wait."""
        with self._lock:
            return self._estimate(_Caller("", min(units, capacity)), capacity)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._running: list[_Caller] = []
        self._waiting: deque[_Caller] = deque()
        self._seconds: dict[str, float] = {}
        """Kind to the moving average of seconds for each unit."""

    def _enter(self, caller: _Caller, capacity: int, most_seconds: float | None) -> None:
        with self._lock:
            if most_seconds is not None:
                self._refuse(caller, capacity, most_seconds)
            self._waiting.append(caller)
            self._advance(capacity)
        if caller.woken.wait(most_seconds):
            return
        with self._lock:
            if caller in self._waiting:
                raise Crowded(self._estimate(caller, capacity))

    def _leave(self, caller: _Caller, capacity: int, *, completed: bool) -> None:
        with self._lock:
            if caller in self._waiting:
                self._waiting.remove(caller)
            elif caller in self._running:
                self._running.remove(caller)
                if completed:
                    self._measure(caller)
            self._advance(capacity)

    def _measure(self, caller: _Caller) -> None:
        taken = (time.monotonic() - caller.since) / caller.units
        known = self._seconds.setdefault(caller.kind, taken)
        self._seconds[caller.kind] = known + _WEIGHT * (taken - known)

    def _refuse(self, caller: _Caller, capacity: int, most_seconds: float) -> None:
        wait = self._estimate(caller, capacity)
        if wait > most_seconds:
            raise Crowded(wait)

    def _advance(self, capacity: int) -> None:
        """Admit the callers at the head of the queue that fit."""
        while self._waiting and self._fits(self._waiting[0], capacity):
            caller = self._waiting.popleft()
            caller.since = time.monotonic()
            self._running.append(caller)
            caller.woken.set()

    def _fits(self, caller: _Caller, capacity: int) -> bool:
        return caller.units + sum(other.units for other in self._running) <= capacity

    def _estimate(self, caller: _Caller, capacity: int) -> float:
        if not self._waiting and self._fits(caller, capacity):
            return 0.0
        now = time.monotonic()
        ahead = sum(other.units * self._usual(other) for other in self._waiting)
        ahead += sum(other.units * self._left(other, now) for other in self._running)
        return ahead / capacity

    def _usual(self, caller: _Caller) -> float:
        """Return the seconds that the caller is expected to take."""
        return caller.units * self._seconds.get(caller.kind, 0.0)

    def _left(self, caller: _Caller, now: float) -> float:
        """Return the seconds that a running caller still takes; the longer it hangs, the more."""
        elapsed = now - caller.since
        return max(self._usual(caller) - elapsed, elapsed / 2)
