"""Signals to a long command: the first lets it end its work, the second ends the process."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

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
    handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    descriptor = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(ours, stop, leave), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        theirs.close()


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
