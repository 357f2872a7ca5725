"""The steps of indexing at which a fault can happen, by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from mmsearch_app.indexes.milvus import MilvusIndex
from mmsearch_app.indexing import batch, documents, generations, ledger, rebuild, stamps, worker

BEFORE, AFTER = "before", "after"

BATCH: dict[str, tuple[Any, str, str]] = {
    "after the claim": (ledger, "claim", AFTER),
    "while the images are read": (documents, "read_images", BEFORE),
    "after the images were read": (documents, "read_images", AFTER),
    "while the model embeds": (batch, "_embed", BEFORE),
    "before the write": (MilvusIndex, "upsert", BEFORE),
    "after the write": (MilvusIndex, "upsert", AFTER),
    "before the ledger is written": (ledger, "finish", BEFORE),
    "before the lease is given back": (worker, "is_live", BEFORE),
    "after the batch": (ledger, "finish", AFTER),
}
"""Of a batch, in their order."""
REBUILD: dict[str, tuple[Any, str, str]] = {
    "after the new collection is made": (MilvusIndex, "create", AFTER),
    "before a batch is written to the new collection": (rebuild, "write_each", BEFORE),
    "after a batch is written to the new collection": (rebuild, "write_each", AFTER),
    "while the new collection settles": (generations.Settling, "look", BEFORE),
    "before the switch": (stamps, "promote", BEFORE),
    "after the new collection is stamped": (MilvusIndex, "restamp", AFTER),
    "before the alias moves": (MilvusIndex, "promote", BEFORE),
    "after the alias moved": (MilvusIndex, "promote", AFTER),
    "after the switch, before the ledger knows": (rebuild, "settle_staged", BEFORE),
    "after the switch, when the ledger knows": (rebuild, "settle_staged", AFTER),
    "before the old collection is dropped": (MilvusIndex, "drop", BEFORE),
}
"""Of a rebuild, in their order."""
STEPS = {**BATCH, **REBUILD}


@contextmanager
def at(step: str, act: Callable[[], object], *, times: int = 1) -> Iterator[None]:
    """Call `act` when indexing comes to that step, the first `times` times.

    Raises AssertionError at the end of the block if it never came there.
    """
    owner, name, when = STEPS[step]
    original = getattr(owner, name)
    left = threading.Semaphore(times)
    reached = threading.Event()

    def act_once() -> None:
        if left.acquire(blocking=False):
            reached.set()
            act()

    @wraps(original)
    def wrapped(*args: Any, **options: Any) -> Any:
        if when == BEFORE:
            act_once()
        result = original(*args, **options)
        if when == AFTER:
            act_once()
        return result

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, original)
    assert reached.is_set(), f"indexing never came to the step {step!r}"
