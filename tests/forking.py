"""Run a function in a forked child, and let the child open database connections of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from django.db import connections

_of_parents: list[Any] = []
"""Connections that must not be closed in this process, not even by the garbage collector."""


def works_in_child(work: Callable[[], bool]) -> bool:
    """Whether the function returns true in a forked child that ends in time."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def leave_connections() -> None:
    """In a child: forget the connections of the parent, without a word to the server.

    Closing them would end the parent's sessions: both processes use the same sockets.
    """
    for connection in connections.all(initialized_only=True):
        _of_parents.append(connection.connection)
        connection.connection = None
