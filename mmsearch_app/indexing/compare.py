"""Compare the live generation of the index with the ledger, record by record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from django.db.models import QuerySet
from numpy.typing import NDArray

from mmsearch_app.backends import get_index
from mmsearch_app.indexing import marks
from mmsearch_app.indexing.ledger import by_key, in_chunks
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import entry_key

_PAGE = 2000
_ACCOUNTS = 1 << 16


class LedgerRow(NamedTuple):
    """What the ledger says of an entry; a model instance would take ten times as long to make."""

    pk: int
    source: str
    object_pk: str
    present: bool
    state: str
    content: str
    generation: str

    @property
    def key(self) -> str:
        """Id of the record in the index."""
        return entry_key(self.source, self.object_pk)


def compare_index() -> tuple[int, int]:
    """Mark entries that the index lost or has in another version; delete records without an entry.

    Returns how many entries were marked, and how many records no entry asks for. A record whose
    entry does not want it is left to a worker, which looks at the row: another one may be
    bringing it back. The memory that it takes does not grow with the index.
    """
    live = get_index().live()
    name = live.name if live else ""
    balance = _Balance()
    strays = sum(_compare_page(page, name, balance) for page in _pages_of_index(name))
    believed = Entry.objects.filter(present=True, state=State.INDEXED)
    lost = 0
    for entries in pages_of_ledger(believed):
        balance.remove(entry.pk for entry in entries if entry.generation == name)
        lost += mark_entries([entry for entry in entries if entry.generation != name])
    if balance.is_even():
        return lost, strays
    for entries in pages_of_ledger(believed):
        suspects = [entry for entry in entries if balance.may_concern(entry.pk)]
        lost += mark_entries(_find_lost(suspects, generation=name))
    return lost, strays


class _Balance:
    """Which numbers were removed without having been added, roughly, in half a megabyte.

    Numbers with the same remainder share an account: the sum of what was added, less what was
    removed. An account that is even may only hide a number if just then another one of the same
    account was added and not removed; the next comparison finds it.
    """

    def __init__(self) -> None:
        self._accounts = np.zeros(_ACCOUNTS, dtype=np.int64)

    def add(self, numbers: Iterable[int]) -> None:
        self._book(np.fromiter(numbers, dtype=np.int64), sign=1)

    def remove(self, numbers: Iterable[int]) -> None:
        self._book(np.fromiter(numbers, dtype=np.int64), sign=-1)

    def is_even(self) -> bool:
        return not self._accounts.any()

    def may_concern(self, number: int) -> bool:
        """Return whether the account of the number is not even."""
        return bool(self._accounts[number % _ACCOUNTS])

    def _book(self, numbers: NDArray[np.int64], *, sign: int) -> None:
        np.add.at(self._accounts, numbers % _ACCOUNTS, sign * numbers)


def _pages_of_index(generation: str) -> Iterator[dict[str, str]]:
    """Yield the records of the index in pages: content by id."""
    contents = get_index().contents(generation=generation) if generation else ()
    return map(dict, in_chunks(contents, _PAGE))


def pages_of_ledger(rows: QuerySet[Entry]) -> Iterator[list[LedgerRow]]:
    """Yield the entries in lists, ordered by primary key."""
    for page in by_key(rows.values_list(*LedgerRow._fields, named=True)):
        yield [LedgerRow(*row) for row in page]


def _compare_page(contents: Mapping[str, str], generation: str, balance: _Balance) -> int:
    """Add the entries that have what they want; delete and mark what no entry asks for.

    Returns how many records that are.
    """
    entries = _find_entries(list(contents))
    differ = _differing(entries, contents, generation=generation)
    balance.add(
        entry.pk
        for key, entry in entries.items()
        if _is_believed(entry, generation) and key not in differ
    )
    unknown = [key for key in contents if key not in entries]
    if unknown:
        get_index().delete(unknown, generation=generation)
    unwanted = [entry for entry in entries.values() if not entry.present]
    return len(unknown) + mark_entries(unwanted, present=False)


def _is_believed(entry: LedgerRow, generation: str) -> bool:
    indexed = entry.present and entry.state == State.INDEXED
    return indexed and entry.generation == generation


def _find_lost(entries: Sequence[LedgerRow], *, generation: str) -> list[LedgerRow]:
    """Return the entries whose record is missing or was made from another content."""
    keys = [entry.key for entry in entries]
    stored = get_index().stored(keys, generation=generation) if generation and keys else {}
    return [
        entry
        for entry in entries
        if entry.key not in stored or stored[entry.key].content not in ("", entry.content)
    ]


def _differing(
    entries: Mapping[str, LedgerRow], contents: Mapping[str, str], *, generation: str
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


def _find_entries(ids: Sequence[str]) -> dict[str, LedgerRow]:
    """Return the entries of those ids of the index, by id."""
    pks: dict[str, list[str]] = defaultdict(list)
    for key in ids:
        source, _, pk = key.partition(":")
        pks[source].append(pk)
    found: dict[str, LedgerRow] = {}
    for source, keys in pks.items():
        rows = Entry.objects.filter(source=source, object_pk__in=keys)
        entries = [LedgerRow(*row) for row in rows.values_list(*LedgerRow._fields)]
        found |= {entry.key: entry for entry in entries}
    return found


def mark_entries(entries: Sequence[LedgerRow], *, present: bool = True) -> int:
    """Mark the rows of the entries; return how many."""
    pks: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        pks[entry.source].append(entry.object_pk)
    for source, keys in pks.items():
        marks.mark_rows(source, keys, present=present)
    return len(entries)
