"""Draw the catalogue's images in several processes that do not need Django.

`python -m example_shop.drawing FOLDER` draws those that the folder lacks. It needs numpy and
Pillow alone, so that `make demo` draws while it installs the rest.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from functools import cache
from io import BytesIO
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TypeAlias

from PIL import Image

from example_shop.catalogue import VIEWS, Item, draw, items

__all__ = ["SIZE", "Task", "draw_all", "encode", "file_name", "stop_on_signals", "tasks_of"]

SIZE = 640
"""Side of an image in pixels."""

Task: TypeAlias = tuple[str, int]
"""SKU and view of an image to draw."""


def main(folder: str) -> None:
    """Draw into the folder of the shop's media. Exits with 130 when stopped by a signal."""
    stop_on_signals()
    missing = [task for task in tasks_of(items()) if not Path(folder, file_name(*task)).exists()]
    try:
        with closing(draw_all(missing, jobs=os.cpu_count() or 1)) as drawn:
            for task, data in drawn:
                _write(Path(folder, file_name(*task)), data)
    except KeyboardInterrupt:
        sys.exit(130)


def stop_on_signals() -> None:
    """Stop on SIGTERM as on Ctrl-C, even in the background, where shells ignore SIGINT."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.default_int_handler)


def tasks_of(chosen: Sequence[Item]) -> list[Task]:
    """Return all images of the products."""
    return [(item.sku, view) for item in chosen for view in range(VIEWS)]


def file_name(sku: str, view: int) -> str:
    """Return the name of an image in the shop's storage."""
    return f"products/{sku.lower()}-{view + 1}.jpg"


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


def _write(path: Path, data: bytes) -> None:
    """Write the file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)


def _draw(task: Task) -> bytes:
    sku, view = task
    return encode(draw(_by_sku()[sku], view=view, size=SIZE))


@cache
def _by_sku() -> dict[str, Item]:
    return {item.sku: item for item in items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
