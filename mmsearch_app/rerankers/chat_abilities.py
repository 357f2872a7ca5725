"""What a chat server can do, found out by asking it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from mmsearch_app.inference import ModelFailed, renew_after_fork, turn

__all__ = ["REFUSED", "Abilities", "status_of"]

REFUSED = frozenset({400, 422, 501})
"""Statuses by which a server says that it does not know a field, among other things."""
FORGET_SECONDS = 600.0
"""After these a no is forgotten: it may have been bad luck, and servers are updated."""


class Abilities:
    """By name: said beforehand (True or False), or tried out once and remembered.

    Of several threads one tries, and the others wait for it, each until its own deadline.
    """

    def __init__(self, **told: bool | None) -> None:
        self._able: set[str] = {name for name, able in told.items() if able}
        self._unable = {name: math.inf for name, able in told.items() if able is False}
        """Until when it counts."""
        self._reset()
        renew_after_fork(self._reset)

    def refused(self, name: str) -> bool:
        """Whether the server is known not to have it."""
        return self._unable.get(name, -math.inf) > time.monotonic()

    def refuse(self, name: str) -> None:
        """Remember for some minutes that it does not."""
        self._unable[name] = time.monotonic() + FORGET_SECONDS

    def has(self, name: str, probe: Callable[[], bool]) -> bool:
        """What is known of it, or else what `probe` finds out now.

        Raises ModelFailed where the server is away, which tells nothing, or where others try
        for too long.
        """
        with turn(self._lock, or_else="Whether the server can do it was not found out in time."):
            return name in self._able or (not self.refused(name) and self._try(name, probe))

    def _try(self, name: str, probe: Callable[[], bool]) -> bool:
        try:
            able = probe()
        except ModelFailed as error:
            if status_of(error) == 500:  # some servers fail over it, others just fail
                return False
            if status_of(error) not in REFUSED:
                raise
            able = False
        if able:
            self._able.add(name)
        else:
            self.refuse(name)
        return able

    def _reset(self) -> None:
        self._lock = threading.Lock()


def status_of(error: ModelFailed) -> int | None:
    """What the server answered, where it answered."""
    return getattr(error.__cause__, "status", None)
