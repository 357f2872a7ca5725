"""From ledger entries to what is embedded: load the rows, read the pictures, in one batch."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Model
from django.utils import timezone

from mmsearch_app import images
from mmsearch_app.conf import get_settings
from mmsearch_app.embedders.base import Content
from mmsearch_app.indexes.base import Record, Scalar
from mmsearch_app.ledger import Outcome, key_of
from mmsearch_app.models import Entry, State
from mmsearch_app.reconcile import signature
from mmsearch_app.sources import ImageSource, product_key, registry

if TYPE_CHECKING:
    import numpy as np
    from django.db.models.fields.files import FieldFile
    from numpy.typing import NDArray

__all__ = ["Document", "Prepared", "prepare", "scalar"]

log = logging.getLogger(__name__)
_READERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One picture, read and ready to be embedded."""

    entry: Entry
    content: Content
    digest: str
    identity: str
    """SHA-256 of all that the embedder sees: while it stays, so does the vector."""
    product: str
    filters: Mapping[str, list[Scalar]]

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
    """The storage or the shop's own code failed: worth another attempt."""


def prepare(entries: Sequence[Entry]) -> Prepared:
    """Load rows with one query per source, then read their pictures side by side.

    Fills `entry.signature` from the row as it was read.
    """
    prepared = Prepared()
    rows = _load([entry for entry in entries if entry.present])
    found: list[tuple[Entry, Model]] = []
    for entry in entries:
        row = rows.get(entry.key)
        if row is None:
            prepared.without_picture.append(Outcome(entry=entry, state=State.REMOVED))
        else:
            entry.signature = getattr(row, "mmsearch_signature", "")
            found.append((entry, row))
    for (entry, row), read in zip(found, _read_all(found), strict=True):
        try:
            _sort(prepared, entry, row, read)
        except Exception as error:  # the shop's own code: one row must not stop the others
            log.exception("%s cannot be described", entry)
            prepared.unread.append((entry, f"{type(error).__name__}: {error}"))
    return prepared


def _load(entries: Iterable[Entry]) -> dict[str, Model]:
    wanted: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        if entry.source in registry:
            wanted[entry.source].append(entry.object_pk)
    rows: dict[str, Model] = {}
    for name, pks in wanted.items():
        source = registry.get(name)
        found = source.fetch().annotate(mmsearch_signature=signature(source))
        found = found.filter(pk__in=source.valid_keys(pks))
        rows |= {f"{name}:{key_of(row.pk)}": row for row in found}
    return rows


def _read_all(found: Sequence[tuple[Entry, Model]]) -> list[bytes | Exception | None]:
    files = [_file(registry.get(entry.source), row) for entry, row in found]
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(_read, files))


def _file(source: ImageSource, row: Model) -> FieldFile | Exception | None:
    try:
        return source.get_file(row)
    except Exception as error:  # the shop's own property or method
        return error


def _read(file: FieldFile | Exception | None) -> bytes | Exception | None:
    """The file's bytes, None without a file, or what went wrong: storages raise anything."""
    if isinstance(file, Exception):
        return file
    if not file:
        return None
    try:
        return images.read_bytes(file, max_bytes=get_settings().MAX_SOURCE_BYTES)
    except Exception as error:  # botocore's errors are no OSError
        return error


def _sort(prepared: Prepared, entry: Entry, row: Model, read: bytes | Exception | None) -> None:
    def settle(state: State, error: str = "", digest: str = "") -> None:
        outcome = Outcome(
            entry=entry, state=state, error=error, digest=digest, signature=entry.signature
        )
        prepared.without_picture.append(outcome)

    source = registry.get(entry.source)
    product = source.get_product(row)
    if read is None or product is None:
        settle(State.EMPTY)
    elif isinstance(read, FileNotFoundError):
        settle(State.EMPTY, f"The file is missing: {source.get_file(row)}")
    elif isinstance(read, images.InvalidImage):
        settle(State.REJECTED, str(read))
    elif isinstance(read, Exception):
        log.warning("%s cannot be read: %s", entry, read)
        prepared.unread.append((entry, f"{type(read).__name__}: {read}"))
    else:
        digest = hashlib.sha256(read).hexdigest()
        try:
            document = _document(source, entry, row, product_key(product), read, digest)
        except images.InvalidImage as error:
            settle(State.REJECTED, str(error), digest)
        else:
            prepared.documents.append(document)


def _document(
    source: ImageSource, entry: Entry, row: Model, product: str, data: bytes, digest: str
) -> Document:
    title = source.get_title(row)
    return Document(
        entry=entry,
        content=Content(image=images.open_stored(data), text=title or None),
        digest=digest,
        identity=hashlib.sha256(f"{digest}\0{title}".encode()).hexdigest(),
        product=product,
        filters={
            name: [scalar(value) for value in values]
            for name, values in source.get_filters(row).items()
        },
    )


def scalar(value: Any) -> Scalar:
    """A filter's value as the index keeps it.

    A related object counts as its primary key, a Decimal as a float, a date or time as seconds
    since 1970 (UTC), anything else as its text.
    """
    if isinstance(value, Model):
        value = value.pk
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    if isinstance(value, datetime):
        aware = value if timezone.is_aware(value) else timezone.make_aware(value)
        return aware.timestamp()
    return str(value)
