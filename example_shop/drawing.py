"""Draw the catalogue's pictures in several processes, which know nothing of Django."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from io import BytesIO
from multiprocessing import get_context
from typing import TypeAlias

from PIL import Image

from example_shop.catalogue import Item, draw, items

__all__ = ["SIZE", "Task", "draw_all", "encode"]

SIZE = 640
"""Side of a picture in pixels."""

Task: TypeAlias = tuple[str, int]
"""SKU and view of a picture to draw."""


def draw_all(tasks: Sequence[Task], *, jobs: int) -> Iterator[tuple[Task, bytes]]:
    """Each picture as the bytes of a JPEG, in the order of the tasks, as soon as it is done.

    One job draws in this process.
    """
    if jobs == 1:
        yield from ((task, _draw(task)) for task in tasks)
        return
    # A fresh interpreter, not a fork: the parent may hold threads and connections.
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _leave_interrupts_to_the_parent)
    try:
        yield from zip(tasks, pool.map(_draw, tasks, chunksize=4), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def encode(image: Image.Image) -> bytes:
    """The bytes of a JPEG."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw(task: Task) -> bytes:
    sku, view = task
    return encode(draw(_by_sku()[sku], view=view, size=SIZE))


@cache
def _by_sku() -> dict[str, Item]:
    return {item.sku: item for item in items()}
