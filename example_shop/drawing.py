"""Draw the catalogue's pictures in several processes, which know nothing of Django."""

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
"""Side of a picture in pixels."""

Task: TypeAlias = tuple[str, int]
"""SKU and view of a picture to draw."""


def draw_all(tasks: Sequence[Task], *, jobs: int) -> Generator[tuple[Task, bytes]]:
    """Each picture as the bytes of a JPEG, in the order of the tasks, as soon as it is done.

    One job draws in this process. Whoever closes the iterator early stops the others at once.
    """
    if jobs == 1:
        yield from ((task, _draw(task)) for task in tasks)
        return
    # A fresh interpreter, not a fork: the parent may hold threads and connections.
    pool = ProcessPoolExecutor(jobs, get_context("spawn"))
    others = active_children()
    try:
        with _interrupts_held():
            drawn = pool.map(_draw, tasks)
        yield from zip(tasks, drawn, strict=True)
    except BaseException:
        for process in set(active_children()).difference(others):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def encode(image: Image.Image) -> bytes:
    """The bytes of a JPEG."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C reaches this process after the block, and never those that begin inside it."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
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
