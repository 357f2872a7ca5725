"""Marks that a thread or task holds back for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextvars import ContextVar

__all__ = ["Pause", "pause"]


class Pause:
    """The marks held back by one block of code.

    A task or thread that was begun in the block has a copy of its context, with this same
    object, and may live longer: what it marks after the block is not taken any more.
    """

    def __init__(self) -> None:
        self.closed = False
        self._marks: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def take(self, marks: Iterable[tuple[str, str]]) -> bool:
        """Hold the marks back; False when the block is over."""
        with self._lock:
            if not self.closed:
                self._marks.update(marks)
            return not self.closed

    def close(self) -> set[tuple[str, str]]:
        """End the block; returns what is to be written."""
        with self._lock:
            self.closed = True
            return self._marks


pause: ContextVar[Pause | None] = ContextVar("mmsearch_pause", default=None)
