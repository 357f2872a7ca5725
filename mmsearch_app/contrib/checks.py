"""System checks that a queue adds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured

from mmsearch_app.conf import get_index

__all__ = ["check_index", "warn_of_immediate"]


def check_index(**_: Any) -> Iterable[CheckMessage]:
    """W010: the worker of a queue is another process than those that serve the shop."""
    try:
        shared = get_index().shared
    except ImproperlyConfigured:  # E001 tells
        return []
    if shared:
        return []
    return [
        Warning(
            "The index is a file that one process can open: a worker of the queue and the shop "
            "cannot use it at the same time.",
            hint="Use a Milvus server, or MMSEARCH['WORKER_THREAD'] = True instead of a queue.",
            id="mmsearch_app.W010",
        )
    ]


def warn_of_immediate() -> CheckMessage:
    """W011: there is no queue behind the queue's interface."""
    return Warning(
        "The task backend is immediate: a save waits until its pictures are embedded.",
        hint="Set TASKS to a backend with workers, such as that of django-tasks-db.",
        id="mmsearch_app.W011",
    )
