"""Turn a batch of ledger entries into documents to embed: load the rows, read the files."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from django.db.models import Model
from numpy.typing import NDArray

from mmsearch_app import images
from mmsearch_app.indexes import Record, Scalar
from mmsearch_app.indexing import ledger
from mmsearch_app.indexing.files import (
    Reading,
    StoredFile,
    hash_content,
    read_files,
    room_for_pixels,
)
from mmsearch_app.indexing.ledger import Outcome
from mmsearch_app.inference import Content
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import FilterReader, entry_key, from_primary, registry, signature
from mmsearch_app.translation import in_english

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile

    Vector: TypeAlias = NDArray[np.float32]

log = logging.getLogger(__name__)

_PROBES = 3
_CANDIDATES = 50
"""Rows looked at for that many files of a storage: those of another one are not read."""
_MANY = 3
"""Missing files that are no coincidence if no other file can be opened."""

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
    remark: str
    """About values of filters that were left out, or ""."""

    @property
    def unchanged(self) -> bool:
        """Whether the stored vector is still right."""
        return self.content.image is None

    def without_pixels(self) -> Document:
        """Return a copy that takes little memory: what is written needs no image any more."""
        return replace(self, content=Content())

    def record(self, vector: Vector) -> Record:
        """Return what is written to the index."""
        return Record(
            id=self.entry.key,
            product=self.product,
            source=self.entry.source,
            vector=vector,
            digest=self.digest,
            content=self.content_hash,
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

    def without_pixels(self) -> Prepared:
        """Return a copy that takes little memory."""
        return replace(self, documents=[one.without_pixels() for one in self.documents])


def join(parts: Sequence[Prepared]) -> Prepared:
    """Return the parts of a batch as one."""
    return Prepared(
        documents=[document for part in parts for document in part.documents],
        without_image=[outcome for part in parts for outcome in part.without_image],
        failed=[failure for part in parts for failure in part.failed],
        postponed=[failure for part in parts for failure in part.postponed],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    """What a row says, before its file is read."""

    entry: Entry
    product: str
    filters: Mapping[str, list[Scalar]]
    remark: str
    file: StoredFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the rows of a batch say, before their files are read."""

    rows: list[_Described]
    """Those that have an image."""
    without_image: list[Outcome]
    failed: list[Failure]

    def after(self, count: int) -> Described:
        """Return the rows that are left after the first ones."""
        return Described(rows=self.rows[count:], without_image=[], failed=[])


def describe_rows(
    entries: Sequence[Entry], *, stored: Mapping[str, str] | None = None
) -> Described:
    """Load the entries' rows with one query per source.

    `stored` says by key which content the live generation contains a vector of: an image is only
    decoded if its content differs. A row that the source's queryset does not contain, or whose
    source is no longer registered, counts as removed.
    """
    rows, without_image, failed = _describe_all(entries, stored or {})
    return Described(rows=rows, without_image=without_image, failed=failed)


def read_images(described: Described) -> list[Reading]:
    """Read images, some side by side, in the order of `described.rows`. Uses no database.

    Of large images only the first are read, as many as a batch has room for.
    """
    return read_files([row.file for row in described.rows], most_pixels=room_for_pixels())


def sort_readings(described: Described, readings: Sequence[Reading]) -> Prepared:
    """Sort the batch by what has to be done, as far as its files are read."""
    pairs = list(zip(described.rows, readings, strict=False))
    unmounted = _find_unmounted(pairs)
    documents = []
    without_image = list(described.without_image)
    for row, reading in pairs:
        if reading.fault is None:
            documents.append(_document(row, reading))
        elif not reading.unanswered and row.entry.pk not in unmounted:
            without_image.append(_unusable(row, reading.fault, reading.digest))
    unread, postponed = _sort_unanswered(pairs)
    return Prepared(
        documents=documents,
        without_image=without_image,
        failed=described.failed + unread,
        postponed=postponed + list(unmounted.values()),
    )


def prepare(entries: Sequence[Entry], *, stored: Mapping[str, str] | None = None) -> Prepared:
    """Do all of it: load the rows, read their images, and sort the batch."""
    described = describe_rows(entries, stored=stored)
    return sort_readings(described, read_files([row.file for row in described.rows]))


def _describe_all(
    entries: Sequence[Entry], stored: Mapping[str, str]
) -> tuple[list[_Described], list[Outcome], list[Failure]]:
    described, without_image, failed = [], [], []
    rows = _load(entries)
    readers = {source.name: FilterReader(source) for source in registry}
    for entry in entries:
        try:
            known = stored.get(entry.key, "")
            found = _describe(entry, rows.get(entry.key), readers, known=known)
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


def _describe(
    entry: Entry, row: Model | None, readers: Mapping[str, FilterReader], *, known: str
) -> _Described | Outcome:
    """Return what the row says, or the outcome if it has no image or no product."""
    if row is None:
        return Outcome(entry=entry, state=State.REMOVED)
    entry.signature = getattr(row, "mmsearch_signature", "")
    reader = readers[entry.source]
    source = reader.source
    file, product = source.get_file(row), source.get_product(row)
    if not file or product is None:
        return Outcome(entry=entry, state=State.EMPTY, signature=entry.signature)
    filters, remark = reader.scalars(row)
    return _Described(
        entry=entry,
        product=source.product_key(product),
        filters=filters,
        remark=remark,
        file=StoredFile(file=file, title=source.get_title(row), known=known),
    )


def _document(row: _Described, reading: Reading) -> Document:
    title = row.file.title
    return Document(
        entry=row.entry,
        content=Content(image=reading.image, text=title or None),
        digest=reading.digest,
        content_hash=hash_content(reading.digest, title),
        product=row.product,
        filters=row.filters,
        remark=row.remark,
    )


def _unusable(row: _Described, fault: Exception, digest: str) -> Outcome:
    """Return the outcome for a file that is missing or contains no valid image."""
    rejected = isinstance(fault, images.InvalidImage)
    return Outcome(
        entry=row.entry,
        state=State.REJECTED if rejected else State.EMPTY,
        error=in_english(fault) if rejected else f"{ledger.MISSING}{row.file.file}",
        digest=digest,
        signature=row.entry.signature,
    )


def _sort_unanswered(
    readings: Iterable[tuple[_Described, Reading]],
) -> tuple[list[Failure], list[Failure]]:
    """Return the entries whose own file failed, and those whose storage is down."""
    answered: set[_Shelf] = set()
    unanswered: dict[_Shelf, list[Failure]] = defaultdict(list)
    for row, reading in readings:
        if reading.fault is not None and reading.unanswered:
            log.warning("%s cannot be read: %s", row.entry, reading.fault)
            unanswered[_shelf(row)].append((row.entry, describe_error(reading.fault)))
        else:
            answered.add(_shelf(row))
    failed: list[Failure] = []
    postponed: list[Failure] = []
    for shelf, failures in unanswered.items():
        entries = [entry for entry, _ in failures]
        if shelf not in answered and _storage_is_down(shelf, entries):
            postponed += [(e, f"The storage does not answer: {error}") for e, error in failures]
        else:
            failed += failures
    return failed, postponed


_Shelf: TypeAlias = tuple[str, str]
"""A source and one of the storages that its files are in: each may be down by itself."""


def _shelf(row: _Described) -> _Shelf:
    return row.entry.source, _storage_of(row.file.file)


def _storage_of(file: FieldFile) -> str:
    """Return a text that is the same for storages that were made alike."""
    storage = getattr(file, "storage", None)
    made = getattr(storage, "_constructor_args", None)  # kept by Django's `deconstructible`
    return f"{type(storage).__qualname__} {id(storage) if made is None else made}"


def _storage_is_down(shelf: _Shelf, failed: Sequence[Entry]) -> bool:
    """Return whether the storage returns no file: neither the `failed` ones nor known ones.

    Reads some files of the source in this storage that were indexed before. If it answers for
    any of them, even by saying that the file is missing, the failed files are at fault, so that
    one broken file is not taken for an outage. If no other file was ever read, nothing tells the
    two apart, and waiting loses less.
    """
    return all(reading.unanswered for reading in _probe(shelf, failed))


def _probe(shelf: _Shelf, failed: Sequence[Entry]) -> list[Reading]:
    """Read files in the storage: some that were indexed last, and as many indexed first."""
    name, storage = shelf
    source = registry.get(name)
    read = Entry.objects.filter(source=name, present=True).exclude(digest="")
    others = read.exclude(pk__in=[entry.pk for entry in failed])
    files: list[StoredFile] = []
    for order in (("-indexed_at", "-pk"), ("pk",)):
        keys = others.order_by(*order).values_list("object_pk", flat=True)[:_CANDIDATES]
        rows = from_primary(source.get_queryset().filter(pk__in=source.valid_keys(list(keys))))
        found = [file for row in rows if (file := source.get_file(row))]
        same = [file for file in found if _storage_of(file) == storage]
        files += [StoredFile(file=file, title="") for file in same[:_PROBES]]
    return read_files(files)


def _find_unmounted(readings: Iterable[tuple[_Described, Reading]]) -> dict[int, Failure]:
    """Return failures, by primary key, of entries whose file is missing like all others.

    If no file of a source in one storage can be opened, neither in this batch nor of those that
    were read before, and at least three are missing, then a media volume is not mounted or a
    bucket is the wrong one: retry later.
    """
    missing: dict[_Shelf, list[_Described]] = defaultdict(list)
    opened: set[_Shelf] = set()
    for row, reading in readings:
        if reading.missing:
            missing[_shelf(row)].append(row)
        elif not reading.unanswered:
            opened.add(_shelf(row))
    failures: dict[int, Failure] = {}
    for shelf, rows in missing.items():
        if shelf not in opened and _all_missing(shelf, rows):
            error = (
                f"No image of {shelf[0]} can be found in the storage, such as {rows[0].file.file}. "
                "Is the media volume mounted, is the bucket the right one?"
            )
            failures |= {row.entry.pk: (row.entry, error) for row in rows}
    return failures


def _all_missing(shelf: _Shelf, rows: Sequence[_Described]) -> bool:
    probes = _probe(shelf, [row.entry for row in rows])
    lost = sum(probe.missing for probe in probes)
    known = lost + sum(bool(row.entry.digest) for row in rows)
    opened = any(not probe.missing and not probe.unanswered for probe in probes)
    return bool(known) and not opened and lost + len(rows) >= _MANY
