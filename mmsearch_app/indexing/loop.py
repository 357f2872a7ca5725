"""When indexing runs: a loop for the worker command, or a thread of the serving process."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

from django.core.signals import request_started
from django.db import close_old_connections, connections

from mmsearch_app.backends import get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import IndexFault
from mmsearch_app.indexing import ledger, notify, worker
from mmsearch_app.indexing.batch import EmbedderDown
from mmsearch_app.indexing.floors import measure_if_idle
from mmsearch_app.indexing.leases import give_back_all
from mmsearch_app.indexing.overlap import require_model
from mmsearch_app.indexing.rebuild import RebuildBlocked, Rebuilder
from mmsearch_app.indexing.worker import Drained
from mmsearch_app.inference import renew_after_fork, threads_replaced_by, threads_replaced_late
from mmsearch_app.models import Rebuild

log = logging.getLogger(__name__)
_TURN_SECONDS = 20.0
"""How long new batches of the ledger, and then of an open rebuild, are begun by turns."""
_REBUILD_WAIT = 60.0


class WorkerLoop:
    """Drains the ledger and advances an open rebuild by turns, until it is stopped.

    It ends by itself after `limit` images of the ledger. `beat` is called several times a minute
    while it works.
    """

    def __init__(
        self, *, limit: int | None = None, beat: Callable[[], object] = lambda: None
    ) -> None:
        self.stopped = False
        self.limit = limit
        self.beat = beat
        # No Event: a signal handler that interrupts its own thread would wait for the Event's lock.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self.total = Drained()
        self._rebuilder: Rebuilder | None = None
        self._rebuild_not_before = 0.0

    def run(self, *, patient: bool = True) -> None:
        """Work until `stop` is called; the batch at hand is finished.

        If the model hangs, wait until it answers, unless `patient` is False: then raise
        ModelHangs, so that the process can end and be started again.
        """
        try:
            while not self.stopped:
                more = self.turn()
                close_old_connections()
                if not patient:
                    require_model()
                if not more and not self.stopped:
                    self._rest(get_settings().POLL_SECONDS)
        finally:
            try:
                self.release()
            finally:
                connections.close_all()

    def turn(self) -> bool:
        """Do some batches of each kind of work; return whether there may be more at once."""
        try:
            drained = self._drain()
            advanced = self._advance()
            if not advanced and drained == Drained() and not self.stopped:
                measure_if_idle()
        except Exception:
            log.exception("The worker failed; it continues after the next poll")
            return False
        return advanced or (drained != Drained() and not drained.problem)

    def _drain(self) -> Drained:
        left = None if self.limit is None else self.limit - self.total.count
        drained = worker.drain(
            limit=left, seconds=_TURN_SECONDS, stopped=lambda: self.stopped, beat=self.beat
        )
        self.total += drained
        if left is not None and drained.count >= left:
            self.stopped = True
        return drained

    def wake(self) -> None:
        """Look for work now. May be called by any thread and any signal handler."""
        self._calls.put(None)

    def stop(self) -> None:
        """Finish the batch at hand, then end. May be called by any thread and signal handler."""
        self.stopped = True
        self.wake()

    def _rest(self, seconds: float) -> None:
        """Wait for a call; all calls that came during a turn count as one."""
        with suppress(Empty):
            self._calls.get(timeout=seconds)
            while True:
                self._calls.get_nowait()

    def release(self) -> None:
        """Let another process continue the rebuild."""
        if self._rebuilder:
            self._rebuilder.release()

    def abandon(self) -> None:
        """Give back all that this process has claimed, though it is still at work on it.

        For a process that ends now, whatever its other threads do. Callable from any thread.
        """
        give_back_all()
        self.release()

    def _advance(self) -> bool:
        """Do some batches of the open rebuild; return whether there may be more at once."""
        if self.stopped:
            return False
        row = Rebuild.objects.filter(open=True).first()
        if row is None or time.monotonic() < self._rebuild_not_before:
            return False
        work = self._rebuilder
        if work is None or work.row.pk != row.pk:
            work = self._rebuilder = Rebuilder(row)
        free = Rebuild.objects.filter(ledger.lease_is_free(), pk=row.pk)
        if not work.has_lease and row.lease_until and not free.exists():
            return False  # another process is at work on it, or died a short while ago
        try:
            return self._step(work)
        except (RebuildBlocked, IndexFault, EmbedderDown) as error:
            log.warning("The rebuild waits: %s", error)
            Rebuild.objects.filter(pk=row.pk).update(error=str(error))
            self._rebuild_not_before = time.monotonic() + _REBUILD_WAIT
            work.release()
            self._rebuilder = None
            return False

    def _step(self, work: Rebuilder) -> bool:
        """Advance the rebuild for a while; return whether there may be more at once."""
        until = time.monotonic() + _TURN_SECONDS
        while not self.stopped:
            if work.step(seconds=until - time.monotonic(), stopped=lambda: self.stopped):
                self._rebuilder = None
                return True
            if work.waiting:
                return False
            if time.monotonic() >= until:
                return True
        return False


def start_with_requests() -> None:
    """Start the thread with the first request, hence after any fork and in no command.

    Raises ImproperlyConfigured if this process runs greenlets that the index cannot work with.
    """
    if threads_replaced_by():
        get_index()
    request_started.connect(_on_request, dispatch_uid="mmsearch_app.indexing.loop")


_starting = threading.Lock()
"""`cache` alone would let two first requests start two threads."""


def _on_request(**_: Any) -> None:
    if get_settings().WORKER_THREAD and not threads_replaced_late():
        with _starting:
            _thread_of_this_process()


@cache
def _thread_of_this_process() -> WorkerLoop:
    service = WorkerLoop()
    thread = threading.Thread(target=service.run, name="mmsearch-worker", daemon=True)
    thread.start()
    # Private, for want of a public hook that runs early enough: before any function of `atexit`
    # runs, thread pools are closed by this same hook (in reverse order of registration), and
    # without them the batch at hand could not read its files.
    register = getattr(threading, "_register_atexit", atexit.register)
    register(_end, service, thread)
    notify.listen(service.wake)
    return service


def _end(service: WorkerLoop, thread: threading.Thread) -> None:
    service.stop()
    thread.join(10)


def _forget_parents_thread() -> None:
    """Let a forked child start its own thread: its parent's does not run there."""
    global _starting
    _starting = threading.Lock()
    if _thread_of_this_process.cache_info().currsize:
        with suppress(ValueError):
            notify.listeners.remove(_thread_of_this_process().wake)
        _thread_of_this_process.cache_clear()


renew_after_fork(_forget_parents_thread)
