"""Read and decode the shop's files side by side, with few decoded images in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING

from mmsearch_app import images
from mmsearch_app.conf import get_settings
from mmsearch_app.models import Entry
from mmsearch_app.sources import ImageSource, from_primary

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile
    from PIL.Image import Image

__all__ = ["File", "FileReading", "hash_content", "read_all", "storage_is_down"]

_READERS = 4
_DECODERS = 2
"""An image of 40 megapixels takes 160 MB until it has been scaled down."""
_PROBES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to read, and the title that is embedded with it."""

    file: FieldFile
    title: str
    known: str = ""
    """`hash_content` of what the stored vector was made from, or "" if no vector is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReading:
    """Result of reading a file: an image, a fault, or neither if the content is unchanged."""

    digest: str = ""
    image: Image | None = None
    fault: Exception | None = None

    @property
    def unanswered(self) -> bool:
        """Whether the storage failed, which says nothing about the file itself."""
        about_the_file = (FileNotFoundError, images.InvalidImage)
        return self.fault is not None and not isinstance(self.fault, about_the_file)


def hash_content(digest: str, title: str) -> str:
    """Return the SHA-256 of all that the embedder sees: as long as it stays, so does the vector."""
    return hashlib.sha256(f"{digest}\0{title}".encode()).hexdigest()


def read_all(files: Sequence[File]) -> list[FileReading]:
    """Read each file, and decode it scaled down unless its stored vector is still right."""
    read = partial(_read, decoding=Semaphore(_DECODERS))
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(read, files))


def _read(file: File, decoding: Semaphore) -> FileReading:
    digest = ""
    try:
        data = images.read_bytes(file.file, max_bytes=get_settings().MAX_SOURCE_BYTES)
        digest = hashlib.sha256(data).hexdigest()
        if hash_content(digest, file.title) == file.known:
            return FileReading(digest=digest)
        with decoding:
            image = images.open_image(data, **get_settings().stored_caps)
        return FileReading(digest=digest, image=image)
    except Exception as fault:  # botocore's errors are not subclasses of OSError
        return FileReading(digest=digest, fault=fault)


def storage_is_down(source: ImageSource, failed: Sequence[Entry]) -> bool:
    """Return whether the storage returns no file: neither the `failed` ones nor known ones.

    Reads the three files of the source that were last indexed. If the storage answers for any
    of them, even by saying that the file is missing, the failed files are at fault, so that one
    broken file is not taken for an outage. If no other file was ever read, nothing tells the two
    apart, and waiting loses less.
    """
    read = Entry.objects.filter(source=source.name, present=True).exclude(digest="")
    others = read.exclude(pk__in=[entry.pk for entry in failed]).order_by("-indexed_at", "-pk")
    keys = source.valid_keys(others.values_list("object_pk", flat=True)[:_PROBES])
    rows = from_primary(source.get_queryset().filter(pk__in=keys))
    files = [File(file=file, title="") for row in rows if (file := source.get_file(row))]
    return all(reading.unanswered for reading in read_all(files))
