"""Threads in which a worker reads images, calls the model and writes the index.

They are daemons, unlike those of an executor: a call that hangs must not keep the process alive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from enum import Enum
from queue import SimpleQueue
from typing import Any

from django.db import connections

from mmsearch_app.inference import renew_after_fork


class Lane(Enum):
    """What a step of a batch occupies; each does one step at a time in a process."""

    READ = "read"
    MODEL = "model"
    INDEX = "index"


@dataclass(eq=False, slots=True, kw_only=True)
class Call:
    """A step that waits, runs, or has ended in its lane."""

    lane: Lane
    work: Callable[[], Any]
    replies: SimpleQueue[Call]
    """Receives this call when it has ended."""
    context: Context = field(default_factory=copy_context)
    gate: threading.Lock = field(default_factory=threading.Lock)
    """Taken once and for all, by the thread that runs the call or by whoever cancels it."""
    moved_at: float = 0.0
    """When it last began something that may hang, in seconds of `time.monotonic`."""
    result: Any = None
    error: BaseException | None = None

    def cancel(self) -> bool:
        """Return whether the call has not begun, and now never will."""
        return self.gate.acquire(blocking=False)

    def run(self) -> None:
        """Run the work unless it is cancelled, and reply."""
        if not self.gate.acquire(blocking=False):
            return
        _running.call = self
        note_progress()
        try:
            self.result = self.context.run(self.work)
        except BaseException as error:  # it belongs to the thread that waits for the reply
            self.error = error
        finally:
            _running.call = None
            close_connections()
        self.replies.put(self)


class _Running(threading.local):
    call: Call | None = None


_running = _Running()


class _Thread:
    """A thread that runs the calls of one lane in turn; it starts with the first call."""

    def __init__(self, lane: Lane) -> None:
        self.calls: SimpleQueue[Call] = SimpleQueue()
        self.current: Call | None = None
        name = f"mmsearch-{lane.value}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while True:
            self._run_next()

    def _run_next(self) -> None:
        """Run one call, and keep no reference to it, hence to its images, while idle."""
        self.current = self.calls.get()
        self.current.run()
        self.current = None


_threads: dict[Lane, _Thread] = {}
_starting = threading.Lock()


def _forget_threads() -> None:
    global _starting
    _starting = threading.Lock()
    _threads.clear()
    _running.call = None


renew_after_fork(_forget_threads)


def start_call(lane: Lane, work: Callable[[], Any], replies: SimpleQueue[Call]) -> Call:
    """Run `work` in the lane's thread, after the calls before it."""
    call = Call(lane=lane, work=work, replies=replies)
    with _starting:
        if lane not in _threads:
            _threads[lane] = _Thread(lane)
        _threads[lane].calls.put(call)
    return call


def seconds_of(lane: Lane) -> float:
    """Return for how long the lane's running call has made no progress; 0 if it is idle."""
    thread = _threads.get(lane)
    call = thread.current if thread else None
    return time.monotonic() - call.moved_at if call and call.moved_at else 0.0


def note_progress() -> None:
    """Count the time limit of the running step from now on, if this thread runs one."""
    if _running.call is not None:
        _running.call.moved_at = time.monotonic()


def in_lane() -> bool:
    """Return whether this thread runs a step: one that waited for its own lane would never end."""
    return _running.call is not None


def close_connections() -> None:
    """Close the database connections of this thread: a storage, for example, may use some."""
    for connection in connections.all(initialized_only=True):
        connection.close()
