"""The entries that this process works on, so that their leases can be renewed or given back."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakSet

from mmsearch_app.conf import get_settings
from mmsearch_app.indexing import ledger
from mmsearch_app.inference import renew_after_fork
from mmsearch_app.models import Entry


class Leases:
    """The leases of one drain."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        _all.add(self)

    def add(self, entries: Sequence[Entry]) -> None:
        self._entries |= {entry.pk: entry for entry in entries}

    def remove(self, entries: Sequence[Entry]) -> None:
        """Forget the leases, except of what this drain claimed again after a lease ran out."""
        for entry in entries:
            if self._entries.get(entry.pk) is entry:
                del self._entries[entry.pk]

    def renew(self) -> None:
        """Extend the leases, except those that another worker has taken meanwhile."""
        if self._entries:
            ledger.renew(list(self._entries.values()))

    def give_back(self) -> int:
        """Let other workers take the entries. Returns their number."""
        held = list(self._entries.values())
        if held:
            ledger.release(held, wait=get_settings().RETRY_SECONDS)
        self._entries.clear()
        return len(held)


_all: WeakSet[Leases] = WeakSet()
renew_after_fork(_all.clear)


def give_back_all() -> int:
    """Give back the entries that all drains of this process hold. Returns their number.

    For the end of a process that cannot wait for its drains. Callable from any thread.
    """
    return sum(leases.give_back() for leases in list(_all))
