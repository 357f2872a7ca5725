"""Read a batch's files from the shop's storage, some side by side, within a time limit."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import TYPE_CHECKING

from mmsearch_app import images
from mmsearch_app.backends import get_embedder
from mmsearch_app.conf import get_settings
from mmsearch_app.embedders import scale_for
from mmsearch_app.indexing.lanes import close_connections

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile
    from PIL.Image import Image

_CORES = os.cpu_count() or 1
_READERS = min(16, max(4, _CORES))
_DECODERS = min(8, max(2, _CORES))
"""How many images are decoded at the same time, if MAX_DECODE_BYTES allows it."""
_AVERAGE_PIXELS = 320_000
"""Pixels for which a batch has room, for each of its images: 41 MB for 32 of them."""
_MOST_HANGING = 16
"""Threads of this process that may hang in the storage before no file is tried any more."""

_hanging: list[Thread] = []
"""Threads that were given up. Some may have ended since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file to read, and the title that is embedded with it."""

    file: FieldFile
    title: str
    known: str = ""
    """`hash_content` of what the stored vector was made from, or "" if no vector is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Result of reading a file: an image, a fault, or neither if the content is unchanged."""

    digest: str = ""
    image: Image | None = None
    fault: Exception | None = None

    @property
    def missing(self) -> bool:
        """Whether the storage says that there is no such file."""
        return isinstance(self.fault, FileNotFoundError)

    @property
    def unanswered(self) -> bool:
        """Whether the storage failed, which says nothing about the file itself."""
        about_the_file = (FileNotFoundError, images.InvalidImage)
        return self.fault is not None and not isinstance(self.fault, about_the_file)


def hash_content(digest: str, title: str) -> str:
    """Return the SHA-256 of all that the embedder sees: as long as it stays, so does the vector."""
    return images.digest(f"{digest}\0{title}".encode())


def read_files(files: Sequence[StoredFile], *, most_pixels: float = math.inf) -> list[Reading]:
    """Read each file, and decode it scaled down unless its stored vector is still right.

    Begins no further file once the decoded images have `most_pixels` together: then the result
    has only the first readings, at least one.

    A file that the storage does not deliver within STORAGE_SECONDS is a TimeoutError. Its thread
    is given up; if all threads of the batch hang, the files that are left are not tried.
    """
    if not files:
        return []
    _hanging[:] = [thread for thread in _hanging if thread.is_alive()]
    if len(_hanging) >= _MOST_HANGING:
        msg = f"{len(_hanging)} reads of the storage hang in this process."
        return [Reading(fault=TimeoutError(msg)) for _ in files]
    return _Batch(files, most_pixels=most_pixels).collect()


def room_for_pixels() -> int:
    """Return how many pixels the decoded images of a batch may have together."""
    return get_settings().BATCH_SIZE * _AVERAGE_PIXELS


def _count_pixels(reading: Reading) -> int:
    return reading.image.width * reading.image.height if reading.image else 0


class _Batch:
    """The files of one call of `read_files`, and the threads that read them."""

    def __init__(self, files: Sequence[StoredFile], *, most_pixels: float) -> None:
        self.files = files
        self.most_pixels = most_pixels
        self.seconds = get_settings().STORAGE_SECONDS
        self._scale = scale_for(get_embedder())
        self._decoding = Semaphore(_DECODERS)
        self._lock = Lock()
        self._end = len(files)
        """Number of files to read: fewer than there are once the images have too many pixels."""
        self._begun = 0
        self._pixels: list[int] = []
        """Of each file that was read; those without an image have none."""
        self._done: SimpleQueue[tuple[int, Reading]] = SimpleQueue()
        self._fetching: dict[Thread, tuple[int, float]] = {}
        """The file that a thread fetches from the storage, and since when."""
        self._given_up: set[Thread] = set()

    def collect(self) -> list[Reading]:
        """Return the readings in the order of the files."""
        count = min(_READERS, self._end)
        for _ in range(count):
            Thread(target=self._work, name="mmsearch-storage", daemon=True).start()
        readings: dict[int, Reading] = {}
        while len(readings) < self._end:
            with suppress(Empty):
                number, reading = self._done.get(timeout=min(self.seconds / 4, 1.0))
                readings.setdefault(number, reading)
            overdue = self._give_up_overdue()
            if len(self._given_up) == count:
                overdue = range(self._end)
            for number in overdue:
                readings.setdefault(number, self._timed_out())
        return [readings[number] for number in range(self._end)]

    def _give_up_overdue(self) -> Iterable[int]:
        """Give up the threads that hang, and return the numbers of their files."""
        latest = time.monotonic() - self.seconds
        overdue = {t: n for t, (n, since) in self._fetching.copy().items() if since < latest}
        new = overdue.keys() - self._given_up
        self._given_up |= new
        _hanging.extend(new)
        return [overdue[thread] for thread in new]

    def _timed_out(self) -> Reading:
        msg = f"no answer within {self.seconds:g} seconds (MMSEARCH['STORAGE_SECONDS'])"
        return Reading(fault=TimeoutError(msg))

    def _work(self) -> None:
        while threading.current_thread() not in self._given_up:
            number = self._next()
            if number is None:
                break
            reading = self._read(number)
            self._pixels.append(_count_pixels(reading))
            self._done.put((number, reading))
        close_connections()

    def _next(self) -> int | None:
        """Return the number of the next file to read; None if there is none, or no room."""
        with self._lock:
            if not self._has_room():
                self._end = self._begun
            if self._begun == self._end:
                return None
            self._begun += 1
            return self._begun - 1

    def _has_room(self) -> bool:
        """Return whether a further image fits in: those being read count as average ones."""
        known = list(self._pixels)
        average = sum(known) / len(known) if known else _AVERAGE_PIXELS
        return sum(known) + (self._begun - len(known)) * average < self.most_pixels

    def _read(self, number: int) -> Reading:
        file, digest = self.files[number], ""
        try:
            data = self._fetch(number)
            digest = images.digest(data)
            if hash_content(digest, file.title) == file.known:
                return Reading(digest=digest)
            with self._decoding:
                image = images.open_image(data, **self._scale, **get_settings().stored_caps)
            return Reading(digest=digest, image=image)
        except Exception as fault:  # botocore's errors are not subclasses of OSError
            return Reading(digest=digest, fault=fault)
        except BaseException as end:  # it may end this thread, but not the wait for its answer
            return Reading(digest=digest, fault=RuntimeError(f"the storage raised {end!r}"))

    def _fetch(self, number: int) -> bytes:
        thread = threading.current_thread()
        self._fetching[thread] = number, time.monotonic()
        try:
            most = get_settings().MAX_SOURCE_BYTES
            return images.read_bytes(self.files[number].file, max_bytes=most)
        finally:
            del self._fetching[thread]
