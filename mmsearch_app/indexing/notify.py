"""Tell whoever wants to know that work is waiting, once the transaction is committed.

A poke may get lost: the next poll of a worker finds the work all the same.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import connections, router, transaction

from mmsearch_app.models import Entry

__all__ = ["after_commit", "listen", "listeners"]

listeners: list[Callable[[], object]] = []
"""Called without arguments after a commit that marked something; they must return at once."""


def listen(listener: Callable[[], object]) -> None:
    """Have it called; saying so twice is harmless."""
    if listener not in listeners:
        listeners.append(listener)


def after_commit() -> None:
    """Poke after the current transaction; several marks in a row lead to one poke."""
    if not listeners:
        return
    using = router.db_for_write(Entry)
    last = connections[using].run_on_commit[-1:]
    if not any(hook[1] is _poke for hook in last):
        transaction.on_commit(_poke, using=using, robust=True)


def _poke() -> None:
    for listener in listeners:
        listener()
