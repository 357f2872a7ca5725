"""Pokes and shifts of a queue: one task waits or is at work, however many saves there are.

A flag in the cache is up while a task waits or works, and a poke that finds it up sends nothing.
That loses nothing: a task looks at the ledger once more *after* it has lowered the flag, and a
poke comes after the commit, so whatever was saved while the flag was up is seen by that look. A
task that died leaves the flag up for a minute; what was saved meanwhile stays due in the ledger.
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

__all__ = [
    "SECONDS",
    "SHIFT",
    "WAITING",
    "WORKING",
    "QueueFlag",
    "Shifts",
    "check_index",
    "warn_of_immediate",
]

log = logging.getLogger(__name__)

SECONDS = 60
"""A flag that nobody renews falls after this time: a turn of work takes less on most machines,
and after the death of a worker, pokes are of no use for no longer than this."""
WAITING, WORKING = "waiting", "working"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFlag:
    """One word under one key. Never raises: where the cache is away, no flag is up.

    A cache in memory is of one process: a flag raised there could not be lowered by the worker,
    so none is raised, and every poke becomes a message.
    """

    key: str

    def hoist(self) -> bool:
        """Raise it as WAITING where it is down; False where it was up."""
        with suppress(Exception):
            return not _is_shared() or caches["default"].add(self.key, WAITING, SECONDS)
        return True

    def read(self) -> str | None:
        """The word, or None where the flag is down."""
        word: str | None = None
        with suppress(Exception):
            word = caches["default"].get(self.key)
        return word

    def write(self, word: str) -> None:
        """Raise it, or renew it, with this word."""
        with suppress(Exception):
            if _is_shared():
                caches["default"].set(self.key, word, SECONDS)

    def lower(self) -> None:
        """Take it down."""
        with suppress(Exception):
            caches["default"].delete(self.key)


def _is_shared() -> bool:
    return not isinstance(caches["default"], LocMemCache)


SHIFT = 60.0
"""Seconds after which a task hands over to a next one, so that none keeps a worker for hours."""


class Shifts:
    """Those of one queue; `enqueue` sends the message whose receiver calls `work`."""

    def __init__(self, *, queue: str, enqueue: Callable[[], object]) -> None:
        self.enqueue = enqueue
        self.flag = QueueFlag(key=f"mmsearch:{queue}")
        self._failing = False
        self._rests_until = 0.0

    def poke(self, *, aside: bool = False) -> None:
        """Ask for a shift unless one waits or is at work; `aside` sends it in a thread.

        Never raises. Where the queue cannot be reached, that is logged once, and for a minute
        nothing is sent.
        """
        if time.monotonic() < self._rests_until or not self.flag.hoist():
            return
        if aside:  # not a daemon: a command that ends now still sends it
            threading.Thread(target=self._send, name="mmsearch-poke").start()
        else:
            self._send()

    def work(self, *, seconds: float = SHIFT) -> str:
        """Drain the ledger and advance an open rebuild until nothing waits, or for so long.

        Turns are not cut short, so it may take some batches longer; with 0 it is one turn.
        Asks for the next shift where there may be more. Returns what it did, in words.
        """
        if self.flag.read() == WORKING:
            return "Another shift is at work."
        service = WorkerLoop()
        try:
            more = self._turns(service, until=time.monotonic() + seconds)
            self.flag.lower()
            more = more or service.turn()  # for those who found the flag up until now
        finally:
            service.release()
        if more:
            self.poke()
        return str(service.total)

    def _turns(self, service: WorkerLoop, *, until: float) -> bool:
        while True:
            self.flag.write(WORKING)
            if not service.turn():
                return False
            if time.monotonic() >= until:
                return True

    def _send(self) -> None:
        try:
            self.enqueue()
        except Exception as error:
            level = logging.DEBUG if self._failing else logging.WARNING
            log.log(level, "The queue cannot be reached, workers are not woken: %r", error)
            self._failing, self._rests_until = True, time.monotonic() + SECONDS
        else:
            self._failing = False


def check_index(**_: Any) -> Iterable[CheckMessage]:
    """W010: the worker of a queue is another process than those that serve the shop."""
    try:
        shared = get_index().shared
    except ImproperlyConfigured:  # E001 tells
        return []
    if shared:
        return []
    return [
        Warning(
            "The index is a file that one process can open: a worker of the queue and the shop "
            "cannot use it at the same time.",
            hint="Use a Milvus server, or MMSEARCH['WORKER_THREAD'] = True instead of a queue.",
            id="mmsearch_app.W010",
        )
    ]


def warn_of_immediate() -> CheckMessage:
    """W011: there is no queue behind the queue's interface."""
    return Warning(
        "The task backend is immediate: a save waits until its pictures are embedded.",
        hint="Set TASKS to a backend with workers, such as that of django-tasks-db.",
        id="mmsearch_app.W011",
    )
