"""Signals to a long command: the first lets it end its work, the second ends the process."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LEAVE_SECONDS = 3.0
"""How long the second signal waits until everything is given back."""


@contextmanager
def stopping(*, stop: Callable[[], object], leave: Callable[[], object]) -> Iterator[None]:
    """Call `stop` on the first SIGTERM or Ctrl-C in the block, and end the process on the second.

    Before that, `leave` is called for up to three seconds. Both run in a thread of their own, so
    that they do not depend on the main thread, which may hang. Outside of the main thread, where
    Python handles no signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    threading.Thread(target=_watch, args=(ours, stop, leave), daemon=True).start()
    handling = _Handling(theirs)
    try:
        yield
    finally:
        handling.restore()
        theirs.close()


class _Handling:
    """The handling of signals by a socket, until it is restored.

    What is sent to a child, by a pool that ends its processes for example, is not for its parent:
    signals are blocked from before a fork until the child handles them by itself.
    """

    def __init__(self, told: socket.socket) -> None:
        self.handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        self.descriptor = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        self._masks: dict[int, set[Any]] = {}
        """Signals that were blocked before a fork, by the thread that forks."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._block, after_in_parent=self._unblock, after_in_child=self._leave_child
            )

    def restore(self) -> None:
        if not self.handlers:
            return
        signal.set_wakeup_fd(self.descriptor)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def _block(self) -> None:
        if self.handlers:
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            self._masks[threading.get_ident()] = blocked

    def _unblock(self) -> None:
        blocked = self._masks.pop(threading.get_ident(), None)
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _leave_child(self) -> None:
        self.restore()
        self._unblock()


def _watch(ours: socket.socket, stop: Callable[[], object], leave: Callable[[], object]) -> None:
    stopped = False
    with ours:
        while received := ours.recv(1):
            if received[0] not in _SIGNALS:
                continue
            if stopped:
                _leave(received[0], leave)
            stopped = True
            sys.stderr.write("Stopping after the batch at hand; a second signal stops at once.\n")
            stop()


def _leave(number: int, leave: Callable[[], object]) -> NoReturn:
    sys.stderr.write("Stopped at once; what was claimed is given back or free again soon.\n")
    thread = threading.Thread(target=leave, daemon=True)
    thread.start()
    thread.join(_LEAVE_SECONDS)
    end_process(128 + number)


def end_process(code: int) -> NoReturn:
    """End the process without waiting for its other threads, one of which may hang."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
