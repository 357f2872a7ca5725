"""What the processes of a shop tell each other about a queue, in Django's cache."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache

__all__ = ["SECONDS", "WAITING", "WORKING", "Flag"]

SECONDS = 60
"""A flag that nobody renews falls after this time: a turn of work takes less on most machines,
and after the death of a worker, pokes are of no use for no longer than this."""
WAITING, WORKING = "waiting", "working"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
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
