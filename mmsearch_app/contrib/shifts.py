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
from collections.abc import Callable

from mmsearch_app.contrib.flag import SECONDS, WORKING, Flag
from mmsearch_app.service import Service

__all__ = ["SHIFT", "Shifts"]

log = logging.getLogger(__name__)

SHIFT = 60.0
"""Seconds after which a task hands over to a next one, so that none keeps a worker for hours."""


class Shifts:
    """Those of one queue; `enqueue` sends the message whose receiver calls `work`."""

    def __init__(self, *, queue: str, enqueue: Callable[[], object]) -> None:
        self.enqueue = enqueue
        self.flag = Flag(key=f"mmsearch:{queue}")
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
        service = Service()
        try:
            more = self._turns(service, until=time.monotonic() + seconds)
            self.flag.lower()
            more = more or service.turn()  # for those who found the flag up until now
        finally:
            service.release()
        if more:
            self.poke()
        return str(service.total)

    def _turns(self, service: Service, *, until: float) -> bool:
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
