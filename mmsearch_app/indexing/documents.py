"""Turn a batch of ledger entries into documents to embed: load the rows, read the files."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from django.db.models import Model
from numpy.typing import NDArray

from mmsearch_app import images
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import Record, Scalar
from mmsearch_app.indexing.ledger import Outcome
from mmsearch_app.inference import Content
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import ImageSource, entry_key, from_primary, registry, scalar, signature
from mmsearch_app.translation import in_english

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile
    from PIL.Image import Image

    Vector: TypeAlias = NDArray[np.float32]

log = logging.getLogger(__name__)

_READERS = 4
_DECODERS = 2
"""An image of 40 megapixels takes 160 MB until it has been scaled down."""
_PROBES = 3

Failure: TypeAlias = tuple[Entry, str]
"""An entry, and the error that made this attempt fail."""


def describe_error(error: Exception) -> str:
    """Return the error's type and text, as the ledger keeps it."""
    return f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One image, read and ready to be embedded."""

    entry: Entry
    content: Content
    """Without an image if the stored vector is still right."""
    digest: str
    content_hash: str
    """SHA-256 of all that the embedder sees: as long as it stays, so does the vector."""
    product: str
    filters: Mapping[str, list[Scalar]]

    @property
    def unchanged(self) -> bool:
        """Whether the stored vector is still right."""
        return self.content.image is None

    def record(self, vector: Vector) -> Record:
        """Return what is written to the index."""
        return Record(
            id=self.entry.key,
            product=self.product,
            source=self.entry.source,
            vector=vector,
            digest=self.digest,
            filters=self.filters,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A batch sorted by what has to be done; every entry is in exactly one list."""

    documents: list[Document]
    without_image: list[Outcome]
    """Deleted, unpublished, empty or unusable: to be deleted from the index."""
    failed: list[Failure]
    """The storage failed for this image, or the shop's own code did: count the attempt."""
    postponed: list[Failure]
    """The storage is down: retry later; the attempt is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file to read, and the title that is embedded with it."""

    file: FieldFile
    title: str
    known: str = ""
    """`_hash_content` of what the stored vector was made from, or "" if no vector is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """Result of reading a file: an image, a fault, or neither if the content is unchanged."""

    digest: str = ""
    image: Image | None = None
    fault: Exception | None = None

    @property
    def unanswered(self) -> bool:
        """Whether the storage failed, which says nothing about the file itself."""
        about_the_file = (FileNotFoundError, images.InvalidImage)
        return self.fault is not None and not isinstance(self.fault, about_the_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    """What a row says, before its file is read."""

    entry: Entry
    product: str
    filters: Mapping[str, list[Scalar]]
    file: _File


def prepare(entries: Sequence[Entry], *, reusable: Collection[str] = ()) -> Prepared:
    """Load the entries' rows with one query per source, then read their images side by side.

    `reusable` are the keys of entries whose vector is stored: their images are only decoded if
    they changed. A row that the source's queryset does not contain, or whose source is no longer
    registered, counts as removed.
    """
    described, without_image, failed = _describe_all(entries, reusable)
    readings = list(zip(described, _read_all([row.file for row in described]), strict=True))
    documents = []
    for row, reading in readings:
        if reading.fault is None:
            documents.append(_document(row, reading))
        elif not reading.unanswered:
            without_image.append(_unusable(row, reading.fault, reading.digest))
    unread, postponed = _sort_unanswered(readings)
    return Prepared(
        documents=documents,
        without_image=without_image,
        failed=failed + unread,
        postponed=postponed,
    )


def _describe_all(
    entries: Sequence[Entry], reusable: Collection[str]
) -> tuple[list[_Described], list[Outcome], list[Failure]]:
    described, without_image, failed = [], [], []
    rows = _load(entries)
    for entry in entries:
        known = entry.content if entry.key in reusable else ""
        try:
            found = _describe(entry, rows.get(entry.key), known=known)
        except Exception as error:  # the shop's own code: one row must not stop the batch
            log.exception("%s cannot be described", entry)
            failed.append((entry, describe_error(error)))
            continue
        if isinstance(found, _Described):
            described.append(found)
        else:
            without_image.append(found)
    return described, without_image, failed


def _load(entries: Iterable[Entry]) -> dict[str, Model]:
    rows: dict[str, Model] = {}
    for source, pks in registry.group((entry.source, entry.object_pk) for entry in entries):
        found = source.fetch(primary=True).annotate(mmsearch_signature=signature(source))
        found = found.filter(pk__in=source.valid_keys(pks))
        rows |= {entry_key(source.name, row.pk): row for row in found}
    return rows


def _describe(entry: Entry, row: Model | None, *, known: str) -> _Described | Outcome:
    """Return what the row says, or the outcome if it has no image or no product."""
    if row is None:
        return Outcome(entry=entry, state=State.REMOVED)
    entry.signature = getattr(row, "mmsearch_signature", "")
    source = registry.get(entry.source)
    file, product = source.get_file(row), source.get_product(row)
    if not file or product is None:
        return Outcome(entry=entry, state=State.EMPTY, signature=entry.signature)
    return _Described(
        entry=entry,
        product=source.product_key(product),
        filters={
            name: [scalar(value) for value in values]
            for name, values in source.get_filters(row).items()
        },
        file=_File(file=file, title=source.get_title(row), known=known),
    )


def _document(row: _Described, reading: _Reading) -> Document:
    title = row.file.title
    return Document(
        entry=row.entry,
        content=Content(image=reading.image, text=title or None),
        digest=reading.digest,
        content_hash=_hash_content(reading.digest, title),
        product=row.product,
        filters=row.filters,
    )


def _unusable(row: _Described, fault: Exception, digest: str) -> Outcome:
    """Return the outcome for a file that is missing or contains no valid image."""
    rejected = isinstance(fault, images.InvalidImage)
    return Outcome(
        entry=row.entry,
        state=State.REJECTED if rejected else State.EMPTY,
        error=in_english(fault) if rejected else f"The file is missing: {row.file.file}",
        digest=digest,
        signature=row.entry.signature,
    )


def _sort_unanswered(
    readings: Iterable[tuple[_Described, _Reading]],
) -> tuple[list[Failure], list[Failure]]:
    """Return the entries whose own file failed, and those whose storage is down."""
    answered: set[str] = set()
    unanswered: dict[str, list[Failure]] = defaultdict(list)
    for row, reading in readings:
        if reading.fault is not None and reading.unanswered:
            log.warning("%s cannot be read: %s", row.entry, reading.fault)
            unanswered[row.entry.source].append((row.entry, describe_error(reading.fault)))
        else:
            answered.add(row.entry.source)
    failed: list[Failure] = []
    postponed: list[Failure] = []
    for name, failures in unanswered.items():
        entries = [entry for entry, _ in failures]
        if name not in answered and _storage_is_down(registry.get(name), entries):
            postponed += failures
        else:
            failed += failures
    return failed, postponed


def _hash_content(digest: str, title: str) -> str:
    """Return the SHA-256 of all that the embedder sees: as long as it stays, so does the vector."""
    return images.digest(f"{digest}\0{title}".encode())


def _read_all(files: Sequence[_File]) -> list[_Reading]:
    """Read each file, and decode it scaled down unless its stored vector is still right."""
    read = partial(_read, decoding=Semaphore(_DECODERS))
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(read, files))


def _read(file: _File, decoding: Semaphore) -> _Reading:
    digest = ""
    try:
        data = images.read_bytes(file.file, max_bytes=get_settings().MAX_SOURCE_BYTES)
        digest = images.digest(data)
        if _hash_content(digest, file.title) == file.known:
            return _Reading(digest=digest)
        with decoding:
            image = images.open_image(data, **get_settings().stored_caps)
        return _Reading(digest=digest, image=image)
    except Exception as fault:  # botocore's errors are not subclasses of OSError
        return _Reading(digest=digest, fault=fault)


def _storage_is_down(source: ImageSource, failed: Sequence[Entry]) -> bool:
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
    files = [_File(file=file, title="") for row in rows if (file := source.get_file(row))]
    return all(reading.unanswered for reading in _read_all(files))
