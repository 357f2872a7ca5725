"""What loading a model takes, seconds and memory; and memory given back."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MUCH = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    seconds: float
    memory: int
    """Growth of this process's resident memory in bytes; 0 on systems without /proc."""
    device: int
    """Growth of the GPU memory that torch uses, in bytes."""

    def __str__(self) -> str:
        taken = [f"{self.seconds:.2f} s"]
        if self.memory > 0:
            taken.append(f"{self.memory / 1e6:.0f} MB of memory")
        if self.device > 0:
            taken.append(f"{self.device / 1e6:.0f} MB on the GPU")
        return ", ".join(taken)


def measure_usage(call: Callable[[], object]) -> Usage:
    memory, device, start = _resident_bytes(), _device_bytes(), time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    return Usage(
        seconds=seconds, memory=_resident_bytes() - memory, device=_device_bytes() - device
    )


def _resident_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["VmRSS"].split()[0]) * 1024


def _device_bytes() -> int:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.memory_allocated())


def return_memory(freed: int = _MUCH) -> None:
    """Give memory that was freed in this process back to the system, if it was much.

    The C library keeps it for the thread that freed it: up to a hundred megabytes in each thread
    of a server, beside what other threads take.
    """
    trim = _find_trim()
    if trim is not None and freed >= _MUCH:
        trim(0)


@cache
def _find_trim() -> Callable[[int], int] | None:
    """Return glibc's `malloc_trim`, or None with another C library."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
