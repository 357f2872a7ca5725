"""Servers that replace the threads of their processes by greenlets: gevent, eventlet."""

from __future__ import annotations

import sys
import threading

_LOCK = type(threading.Lock())
"""The kind of lock with which the app was loaded."""


def threads_replaced_by() -> str:
    """Return the library that replaced this process's threads by greenlets, or ""."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return ""


def threads_replaced_late() -> bool:
    """Return whether that happened after the app was loaded, which then has locks of both kinds."""
    return type(threading.Lock()) is not _LOCK
