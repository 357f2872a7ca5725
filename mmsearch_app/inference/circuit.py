"""When to stop calling what fails: a circuit that opens after failures, and closes by a trial."""

from __future__ import annotations

import threading
import time

from mmsearch_app.inference.forking import renew_after_fork


class Circuit:
    """Says whether calls are let through to something that may fail.

    After `most_failures` in a row it opens: no call is let through for `pause` seconds. Then one
    trial call is, and its outcome closes the circuit or opens it for another pause. A forked
    child starts with a closed one.
    """

    def __init__(self, *, most_failures: int, pause: float) -> None:
        self.most_failures = most_failures
        self.pause = pause
        self.reset()
        renew_after_fork(self.reset)

    def reset(self) -> None:
        """Close it, and forget all failures."""
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until = 0.0
        self._trial: object = None

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    @property
    def seconds_left(self) -> float:
        """Seconds until a trial call is let through, if none is under way."""
        return max(0.0, self._open_until - time.monotonic())

    def is_open(self) -> bool:
        """Return whether no call is let through at the moment."""
        with self._lock:
            return self._is_open()

    def begin(self, call: object) -> bool:
        """Let a call through, unless the circuit is open. Returns whether it is let through.

        It is the trial if the last calls failed. `count` or `forget` must follow, whatever happens.
        """
        with self._lock:
            if self._is_open():
                return False
            if self._failures >= self.most_failures:
                self._trial = call
            return True

    def is_trial(self, call: object) -> bool:
        return self._trial is call

    def count(self, call: object, *, failed: bool) -> None:
        """Count the outcome of a call that was let through."""
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            if failed:
                self._open_until = time.monotonic() + self.pause
            if self._trial is call:
                self._trial = None

    def forget(self, call: object) -> None:
        """End a call that says nothing: if it was the trial, the next one is."""
        with self._lock:
            if self._trial is call:
                self._trial = None

    def _is_open(self) -> bool:
        paused = self._trial is not None or time.monotonic() < self._open_until
        return self._failures >= self.most_failures and paused
