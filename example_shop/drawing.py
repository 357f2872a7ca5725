"""Draw the catalogue's images in several processes that do not need Django."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from multiprocessing import active_children, get_context
from typing import TypeAlias

from PIL import Image

from example_shop.catalogue import Item, draw, items

__all__ = ["SIZE", "Task", "draw_all", "encode"]

SIZE = 640
"""Side of an image in pixels."""

Task: TypeAlias = tuple[str, int]
"""SKU and view of an image to draw."""


def draw_all(tasks: Sequence[Task], *, jobs: int) -> Generator[tuple[Task, bytes]]:
    """Yield each image as the bytes of a JPEG, in the order of the tasks, as soon as it is done.

    With one job, everything is drawn in this process. Closing the iterator early terminates the
    worker processes at once.
    """
    if jobs == 1:
        yield from ((task, _draw(task)) for task in tasks)
        return
    # A fresh interpreter, not a fork: the parent may have threads and connections.
    pool = ProcessPoolExecutor(jobs, get_context("spawn"))
    before = active_children()
    try:
        with _interrupts_blocked():
            drawn = pool.map(_draw, tasks)
        yield from zip(tasks, drawn, strict=True)
    except BaseException:
        for process in set(active_children()).difference(before):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def encode(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Delay Ctrl-C until the block ends; processes started inside the block never receive it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _draw(task: Task) -> bytes:
    sku, view = task
    return encode(draw(_by_sku()[sku], view=view, size=SIZE))


@cache
def _by_sku() -> dict[str, Item]:
    return {item.sku: item for item in items()}
