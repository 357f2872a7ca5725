"""The shop's own files: read and decoded side by side, few at a time in memory."""

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

__all__ = ["File", "FileReading", "content_hash", "is_away", "read_all"]

_READERS = 4
_DECODERS = 2
"""A picture of 40 megapixels takes 160 MB for the moment in which it is made small."""
_PROBES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to be read, and what is embedded with it."""

    file: FieldFile
    title: str
    known: str = ""
    """What `identify` gave when its vector was made, where the index still holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReading:
    """What came of it: the picture, nothing new (no picture, no fault), or a fault."""

    digest: str = ""
    image: Image | None = None
    fault: Exception | None = None

    @property
    def unanswered(self) -> bool:
        """Whether the storage failed, which says nothing about the file."""
        told = (FileNotFoundError, images.InvalidImage)
        return self.fault is not None and not isinstance(self.fault, told)


def content_hash(digest: str, title: str) -> str:
    """SHA-256 of all that the embedder sees: while it stays, so does the vector."""
    return hashlib.sha256(f"{digest}\0{title}".encode()).hexdigest()


def read_all(files: Sequence[File]) -> list[FileReading]:
    """Read each file; decode it, small, unless its vector is known to be right still."""
    read = partial(_read, decoding=Semaphore(_DECODERS))
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(read, files))


def _read(file: File, decoding: Semaphore) -> FileReading:
    digest = ""
    try:
        data = images.read_bytes(file.file, max_bytes=get_settings().MAX_SOURCE_BYTES)
        digest = hashlib.sha256(data).hexdigest()
        if content_hash(digest, file.title) == file.known:
            return FileReading(digest=digest)
        with decoding:
            return FileReading(
                digest=digest, image=images.open_image(data, **get_settings().stored_caps)
            )
    except Exception as fault:  # botocore's errors are no OSError
        return FileReading(digest=digest, fault=fault)


def is_away(source: ImageSource, tried: Sequence[Entry]) -> bool:
    """Whether the storage hands out nothing: not the files tried, nor others read before.

    Asks for the last three that were read; one answer, were it that the file is gone, makes
    the files tried the culprits, so that one broken file cannot pass for an outage. Where no
    other file was ever read, there is nothing to tell the two apart, and waiting loses less.
    """
    read = Entry.objects.filter(source=source.name, present=True).exclude(digest="")
    others = read.exclude(pk__in=[entry.pk for entry in tried]).order_by("-indexed_at", "-pk")
    keys = source.valid_keys(others.values_list("object_pk", flat=True)[:_PROBES])
    rows = from_primary(source.get_queryset().filter(pk__in=keys))
    files = [File(file=file, title="") for row in rows if (file := source.get_file(row))]
    return all(reading.unanswered for reading in read_all(files))
