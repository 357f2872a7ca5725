"""Indexing by a task queue: at most one task waits or runs, however many saves there are.

A flag in the cache is set while a task waits or runs; a wake-up call that finds it set sends no
message. Nothing is lost by that: a task looks at the ledger once more after it has cleared the
flag, and a wake-up call comes after the commit, so that look sees whatever was saved while the
flag was set. If a task dies, its flag expires after a minute; the entries stay due in the ledger.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured

from mmsearch_app.backends import get_index
from mmsearch_app.indexing import WorkerLoop

log = logging.getLogger(__name__)

FLAG_SECONDS = 60
"""After this time a flag that nobody renews expires. A worker renews it several times a minute;
after its death, wake-up calls are lost for no longer than this."""
SHIFT_SECONDS = 60.0
"""After this time a task hands over to the next one, so that none occupies a worker for hours."""
WAITING, WORKING = "waiting", "working"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFlag:
    """One word in Django's default cache, shared by all processes. Never raises.

    If the cache is unavailable, the flag counts as not set. A cache in the memory of one process
    cannot be cleared by the worker, so there the flag is never set and each call sends a message.
    """

    key: str

    def acquire(self) -> bool:
        """Set the flag to WAITING unless it is already set. Returns whether this call set it."""
        with suppress(Exception):
            return not _is_shared() or caches["default"].add(self.key, WAITING, FLAG_SECONDS)
        return True

    def read(self) -> str | None:
        word: str | None = None
        with suppress(Exception):
            word = caches["default"].get(self.key)
        return word

    def write(self, word: str) -> None:
        """Set or renew the flag."""
        with suppress(Exception):
            if _is_shared():
                caches["default"].set(self.key, word, FLAG_SECONDS)

    def clear(self) -> None:
        with suppress(Exception):
            caches["default"].delete(self.key)


def _is_shared() -> bool:
    return not isinstance(caches["default"], LocMemCache)


class Shifts:
    """The tasks of one queue. `enqueue` sends the message whose receiver calls `work`."""

    def __init__(self, *, queue: str, enqueue: Callable[[], object]) -> None:
        self.enqueue = enqueue
        self.flag = QueueFlag(key=f"mmsearch:{queue}")
        self._failing = False
        self._silent_until = 0.0

    def wake(self, *, in_thread: bool = False) -> None:
        """Enqueue a task unless one waits or runs. Never raises.

        If the queue is unreachable, that is logged once and nothing is sent for a minute.
        """
        if time.monotonic() < self._silent_until or not self.flag.acquire():
            return
        if in_thread:  # not a daemon thread: a command that ends now still sends the message
            threading.Thread(target=self._send, name="mmsearch-wake").start()
        else:
            self._send()

    def work(self, *, seconds: float = SHIFT_SECONDS) -> str:
        """Drain the ledger and advance an open rebuild, for about `seconds`. Returns a summary.

        A turn is never cut short, so this may take some batches longer; 0 means one turn. Enqueues
        the next task if there may be more work.
        """
        if self.flag.read() == WORKING:
            return "Another shift is at work."
        loop = WorkerLoop(beat=lambda: self.flag.write(WORKING))
        try:
            more = self._turns(loop, until=time.monotonic() + seconds)
            self.flag.clear()
            more = more or loop.turn()  # sees what was saved while the flag was set
        finally:
            loop.release()
        if more:
            self.wake()
        return str(loop.total)

    def _turns(self, loop: WorkerLoop, *, until: float) -> bool:
        """Work until nothing is due or the time is over. Returns whether there may be more."""
        while True:
            self.flag.write(WORKING)
            if not loop.turn():
                return False
            if time.monotonic() >= until:
                return True

    def _send(self) -> None:
        try:
            self.enqueue()
        except Exception as error:
            level = logging.DEBUG if self._failing else logging.WARNING
            log.log(level, "The queue is unreachable, workers are not woken: %r", error)
            self._failing, self._silent_until = True, time.monotonic() + FLAG_SECONDS
        else:
            self._failing = False


def check_index(**_: Any) -> Iterable[CheckMessage]:
    """W010: the queue's worker and the shop are two processes, which must share the index."""
    try:
        shared = get_index().shared
    except ImproperlyConfigured:  # reported by E001
        return []
    if shared:
        return []
    return [
        Warning(
            "The index is a file that only one process can open: a worker of the queue and the "
            "shop cannot use it at the same time.",
            hint="Use a Milvus server, or MMSEARCH['WORKER_THREAD'] = True instead of a queue.",
            id="mmsearch_app.W010",
        )
    ]


def check_not_immediate(*, immediate: bool) -> Iterable[CheckMessage]:
    """W011: tasks must not run inside the request that enqueues them."""
    if not immediate:
        return []
    return [
        Warning(
            "The task backend is immediate: every save waits until its images are embedded.",
            hint="Set TASKS to a backend with workers, such as that of django-tasks-db.",
            id="mmsearch_app.W011",
        )
    ]
