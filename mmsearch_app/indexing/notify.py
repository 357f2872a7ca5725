"""Call listeners when work is waiting, after the commit of the transaction that caused it.

A call may get lost: the next poll of a worker finds the work all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import router, transaction

from mmsearch_app.models import Entry

__all__ = ["after_commit", "listen", "listeners"]

listeners: list[Callable[[], object]] = []
"""Called without arguments after a commit that marked something; they must return at once."""


class _Thread(threading.local):
    called = False
    """Whether the listeners were called after this thread's last mark."""


_thread = _Thread()


def listen(listener: Callable[[], object]) -> None:
    """Add a listener, unless it is one already."""
    if listener not in listeners:
        listeners.append(listener)


def after_commit() -> None:
    """Call the listeners once the current transaction is committed, or now if there is none.

    Many marks in one transaction lead to one call: each registers a callback, and the first
    callback to run does it for all. A rollback needs no care, since it drops the callbacks.
    """
    if listeners:
        _thread.called = False
        transaction.on_commit(_call_listeners, using=router.db_for_write(Entry), robust=True)


def _call_listeners() -> None:
    if not _thread.called:
        _thread.called = True
        for listener in listeners:
            listener()
