"""Run a function in a forked child."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


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
