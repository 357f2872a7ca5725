"""ONNX Runtime: importing it, its threads, and its sessions in forked children."""

from __future__ import annotations

import ctypes
import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def load_onnxruntime() -> Any:
    """Import ONNX Runtime with its telemetry off, and return the module. Raises ImportError.

    The variable is read once, when it is imported. Releases from 1.29 on otherwise send usage
    data to their maker, and a process forked from this one never ends: it waits for the sending
    thread.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


def never_free(session: InferenceSession) -> None:
    """Keep a parent's session in a forked child, even while Python exits.

    Freeing it would wait for ever for its threads, which do not exist in the child.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # which containers restrict, unlike the machine's count
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
