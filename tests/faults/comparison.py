"""The full comparison of a shop and its index: nothing lost, nothing wrong, nothing left over.

Everything is read anew: rows and files from the shop, records from Milvus, and each vector is
computed again from the file and the title.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mmsearch_app import images
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import Generation, Record
from mmsearch_app.indexes.milvus.schema import make_row
from mmsearch_app.indexes.records import make_facets
from mmsearch_app.inference import Content
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import FilterReader, ImageSource, entry_key, registry

_CLOSE = 1e-3
"""How far a component of a vector may be off: half precision on the way loses about as much."""


def differences() -> list[str]:
    """Return every difference in one sentence each; none if shop, index and ledger agree."""
    wanted = _wanted()
    return [*_compare_index(wanted), *_compare_ledger(wanted)]


def lost() -> int:
    """Return how many pictures visitors do not find, or find by an old version."""
    return len({line.partition(" ")[0] for line in _compare_index(_wanted())})


def _compare_index(wanted: Mapping[str, Record]) -> Iterator[str]:
    index: Any = get_index()
    live = index.live()
    if live is None:
        yield from (f"{key} is in no index" for key in wanted)
        return
    rows = _stored_rows(index, live)
    for key, count in Counter(row["id"] for row in rows).items():
        if count > 1:
            yield f"{key} is in the index {count} times"
        if key not in wanted:
            yield f"{key} is in the index, but not to be found in the shop"
    stored = {row["id"]: row for row in rows}
    for key, record in wanted.items():
        if key not in stored:
            yield f"{key} is missing in the index"
        else:
            right = _row(index, record, live)
            for name in _differing(right, stored[key]):
                yield f"{key} has another {name} in the index: {stored[key][name]!r:.80}"


def _differing(right: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[str]:
    for name, value in right.items():
        if name == "vector":
            if not np.allclose(value, np.asarray(stored[name], np.float32), atol=_CLOSE):
                yield name
        elif stored[name] != value:
            yield name


def _row(index: Any, record: Record, live: Generation) -> dict[str, Any]:
    flat = index._generations.is_flat(live.name)
    return make_row(record, make_facets(record.filters), generation=live, flat=flat)


def _stored_rows(index: Any, live: Generation) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = index._connection.call(
        "query", live.name, filter='id != ""', output_fields=["*"], consistency_level="Strong"
    )
    return rows


def _compare_ledger(wanted: Mapping[str, Record]) -> Iterator[str]:
    live = get_index().live()
    for entry in Entry.objects.all():
        if entry.due_at is not None or entry.lease_until is not None:
            yield f"{entry} is still due or leased: {entry.state}, {entry.error!r}"
        elif entry.key not in wanted:
            if entry.state not in (State.REMOVED, State.EMPTY, State.REJECTED):
                yield f"{entry} is recorded as {entry.state}, but is not to be found in the shop"
        elif entry.state != State.INDEXED or not entry.present:
            yield f"{entry} is recorded as {entry.state}: {entry.error!r}"
        else:
            yield from _compare_entry(entry, wanted[entry.key], live)
    known = {entry.key for entry in Entry.objects.all()}
    yield from (f"{key} is not in the ledger" for key in wanted if key not in known)


def _compare_entry(entry: Entry, record: Record, live: Generation | None) -> Iterator[str]:
    if entry.digest != record.digest:
        yield f"{entry} has another digest in the ledger"
    if entry.content != record.content:
        yield f"{entry} has another content in the ledger"
    if live is None or entry.generation != live.name:
        yield f"{entry} is recorded as being in {entry.generation}"


def _wanted() -> dict[str, Record]:
    """Return, by key, what the index must contain of each picture that visitors should find."""
    return {record.id: record for source in registry for record in _wanted_of(source)}


def _wanted_of(source: ImageSource) -> Iterator[Record]:
    reader = FilterReader(source)
    for row in source.fetch(primary=True):
        file, product = source.get_file(row), source.get_product(row)
        if not file or product is None:
            continue
        try:
            data = images.read_bytes(file, max_bytes=get_settings().MAX_SOURCE_BYTES)
            image = images.open_image(data, **get_settings().stored_caps)
        except (FileNotFoundError, images.InvalidImage):
            continue
        title, digest = source.get_title(row), images.digest(data)
        (vector,) = get_embedder().embed_documents([Content(image=image, text=title or None)])
        yield Record(
            id=entry_key(source.name, row.pk),
            product=source.product_key(product),
            source=source.name,
            vector=vector,
            digest=digest,
            content=images.digest(f"{digest}\0{title}".encode()),
            filters=reader.scalars(row)[0],
        )
