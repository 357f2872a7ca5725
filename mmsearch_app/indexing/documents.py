"""From ledger entries to what is embedded: load the rows, read the pictures, in one batch."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.models import Model

from mmsearch_app import images
from mmsearch_app.indexes import Record, Scalar
from mmsearch_app.indexing.files import File, FileReading, content_hash, is_away, read_all
from mmsearch_app.indexing.ledger import Outcome
from mmsearch_app.inference import Content
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import entry_key, registry, scalar, signature
from mmsearch_app.translation import in_english

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Document",
    "Prepared",
    "prepare",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One picture, read and ready to be embedded."""

    entry: Entry
    content: Content
    """Without a picture where the vector at hand is still right."""
    digest: str
    identity: str
    """SHA-256 of all that the embedder sees: while it stays, so does the vector."""
    product: str
    filters: Mapping[str, list[Scalar]]

    @property
    def unchanged(self) -> bool:
        """Whether the vector at hand is still right."""
        return self.content.image is None

    def record(self, vector: NDArray[np.float32]) -> Record:
        """What the index keeps."""
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
    """A batch, sorted by what has to be done; every entry is in exactly one of the lists."""

    documents: list[Document] = field(default_factory=list)
    without_picture: list[Outcome] = field(default_factory=list)
    """Deleted, unpublished, empty or unusable: what the index holds of them must go."""
    unread: list[tuple[Entry, str]] = field(default_factory=list)
    """The storage failed for these, or the shop's own code: worth another attempt."""
    held_up: list[tuple[Entry, str]] = field(default_factory=list)
    """The storage is away altogether: none of them is to blame, and all must wait."""


def prepare(entries: Sequence[Entry], *, held: Collection[str] = ()) -> Prepared:
    """Load rows with one query per source, then read their pictures side by side.

    `held` are keys of entries whose vector is at hand: their pictures are only decoded where
    they changed. A row that the source's queryset does not have, or that belongs to no source,
    counts as removed.
    """
    prepared, described = Prepared(), []
    rows = _load(entries)
    for entry in entries:
        row = rows.get(entry.key)
        if row is None:
            prepared.without_picture.append(Outcome(entry=entry, state=State.REMOVED))
            continue
        entry.signature = getattr(row, "mmsearch_signature", "")
        try:
            found = _describe(entry, row, is_held=entry.key in held)
        except Exception as error:  # the shop's own code: one row must not stop the others
            log.exception("%s cannot be described", entry)
            prepared.unread.append((entry, f"{type(error).__name__}: {error}"))
        else:
            if found is None:
                prepared.without_picture.append(_settled(entry, State.EMPTY))
            else:
                described.append(found)
    _sort(prepared, described, read_all([row.file for row in described]))
    return prepared


def _load(entries: Iterable[Entry]) -> dict[str, Model]:
    rows: dict[str, Model] = {}
    for source, pks in registry.group((entry.source, entry.object_pk) for entry in entries):
        found = source.fetch(primary=True).annotate(mmsearch_signature=signature(source))
        found = found.filter(pk__in=source.valid_keys(pks))
        rows |= {entry_key(source.name, row.pk): row for row in found}
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    """What a row says, before its file is read."""

    entry: Entry
    product: str
    filters: Mapping[str, list[Scalar]]
    file: File


def _describe(entry: Entry, row: Model, *, is_held: bool) -> _Described | None:
    """None without a picture or without a product."""
    source = registry.get(entry.source)
    file, product = source.get_file(row), source.get_product(row)
    if not file or product is None:
        return None
    known = entry.content if is_held else ""
    return _Described(
        entry=entry,
        product=source.product_key(product),
        filters={
            name: [scalar(value) for value in values]
            for name, values in source.get_filters(row).items()
        },
        file=File(file=file, title=source.get_title(row), known=known),
    )


def _sort(prepared: Prepared, rows: Sequence[_Described], readings: Sequence[FileReading]) -> None:
    unanswered: dict[str, list[tuple[Entry, str]]] = {}
    answered: set[str] = set()
    for row, reading in zip(rows, readings, strict=True):
        if reading.unanswered:
            log.warning("%s cannot be read: %s", row.entry, reading.fault)
            error = f"{type(reading.fault).__name__}: {reading.fault}"
            unanswered.setdefault(row.entry.source, []).append((row.entry, error))
            continue
        answered.add(row.entry.source)
        if reading.fault is None:
            prepared.documents.append(_document(row, reading))
        else:
            prepared.without_picture.append(_unusable(row, reading))
    for source, pairs in unanswered.items():
        tried = [entry for entry, _ in pairs]
        away = source not in answered and is_away(registry.get(source), tried)
        (prepared.held_up if away else prepared.unread).extend(pairs)


def _unusable(row: _Described, reading: FileReading) -> Outcome:
    if isinstance(reading.fault, images.InvalidImage):
        return _settled(row.entry, State.REJECTED, in_english(reading.fault), reading.digest)
    return _settled(row.entry, State.EMPTY, f"The file is missing: {row.file.file}")


def _settled(entry: Entry, state: State, error: str = "", digest: str = "") -> Outcome:
    signed = entry.signature
    return Outcome(entry=entry, state=state, error=error, digest=digest, signature=signed)


def _document(row: _Described, reading: FileReading) -> Document:
    title = row.file.title
    return Document(
        entry=row.entry,
        content=Content(image=reading.image, text=title or None),
        digest=reading.digest,
        identity=content_hash(reading.digest, title),
        product=row.product,
        filters=row.filters,
    )
