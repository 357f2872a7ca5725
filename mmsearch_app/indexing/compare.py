"""Compare the live generation of the index with the ledger, record by record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from mmsearch_app.backends import get_index
from mmsearch_app.indexing import marks
from mmsearch_app.indexing.ledger import in_chunks
from mmsearch_app.models import Entry, State

_PAGE = 2000
_KEY = ("source", "object_pk")


def compare_index() -> tuple[int, int]:
    """Mark entries that the index lost or has in another version; delete records without an entry.

    Returns how many entries were marked, and how many records no entry asks for. A record whose
    entry does not want it is left to a worker, which looks at the row: another one may be
    bringing it back.

    The index returns its ids in no order, so the keys of the entries found are kept in memory:
    about 70 MB for a million.
    """
    index = get_index()
    live = index.live()
    name = live.name if live else ""
    found: set[int] = set()
    unknown: list[str] = []
    unwanted = 0
    for page in in_chunks(index.contents(generation=name) if live else (), _PAGE):
        ids = [key for key, _ in page]
        entries = _find_entries(ids)
        differ = _differing(entries, dict(page), generation=name)
        found.update(entry.pk for entry in entries.values() if entry.key not in differ)
        unwanted += mark_entries([e for e in entries.values() if not e.present], present=False)
        unknown += [key for key in ids if key not in entries]
    lost = 0
    indexed = Entry.objects.filter(present=True, state=State.INDEXED).order_by("pk")
    for rows in in_chunks(indexed.only(*_KEY, "generation").iterator(_PAGE), _PAGE):
        lost += mark_entries([e for e in rows if e.pk not in found or e.generation != name])
    if unknown:
        index.delete(unknown, generation=name)
    return lost, unwanted + len(unknown)


def _differing(
    entries: Mapping[str, Entry], contents: Mapping[str, str], *, generation: str
) -> set[str]:
    """Return the keys whose record was made from another content than the ledger recorded.

    They are read once more, after the ledger: a worker may have written both since the first
    look. A record without a content says nothing.
    """
    settled = {key: e for key, e in entries.items() if e.state == State.INDEXED}
    suspects = [key for key, e in settled.items() if contents[key] not in ("", e.content)]
    if not suspects:
        return set()
    stored = get_index().stored(suspects, generation=generation)
    return {
        key for key in suspects if key in stored and stored[key].content != settled[key].content
    }


def _find_entries(ids: Sequence[str]) -> dict[str, Entry]:
    """Return the entries of those ids of the index, by id."""
    pks: dict[str, list[str]] = defaultdict(list)
    for key in ids:
        source, _, pk = key.partition(":")
        pks[source].append(pk)
    found: dict[str, Entry] = {}
    for source, keys in pks.items():
        rows = Entry.objects.filter(source=source, object_pk__in=keys)
        found |= {entry.key: entry for entry in rows.only(*_KEY, "present", "state", "content")}
    return found


def mark_entries(entries: Sequence[Entry], *, present: bool = True) -> int:
    """Mark the rows of the entries; return how many."""
    pks: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        pks[entry.source].append(entry.object_pk)
    for source, keys in pks.items():
        marks.mark_rows(source, keys, present=present)
    return len(entries)
