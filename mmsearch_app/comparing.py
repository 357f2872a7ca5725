"""The live generation's ids against the ledger, both ways, in eight bytes a picture."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from mmsearch_app import ledger
from mmsearch_app.conf import get_index
from mmsearch_app.models import Entry, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["compare_index"]

_PAGE = 2000
_T = TypeVar("_T")


def compare_index() -> tuple[int, int]:
    """Mark what the index lost and delete what no entry accounts for; returns how many of each.

    Two ids may share their eight bytes; among ten million pictures once in 370,000 comparisons.
    Then a lost one of the two is not found.
    """
    import numpy as np

    index = get_index()
    live = index.live()
    name = live.name if live else ""
    prints, strays = array("Q"), 0
    unknown: list[str] = []
    for page in _pages(index.ids(generation=name)) if live else ():
        prints.extend(map(_print, page))
        marked, without_entry = _sort_strays(page)
        strays += marked + len(without_entry)
        unknown += without_entry
    lost = _mark_lost(np.sort(np.frombuffer(prints, dtype=np.uint64)), name)
    if unknown:
        index.delete(unknown, generation=name)
    return lost, strays


def _sort_strays(page: list[str]) -> tuple[int, list[str]]:
    """Mark entries that want nothing in the index; return how many, and ids without an entry.

    What has an entry is left to a worker: one may be bringing the row back at this moment.
    """
    pks: dict[str, list[str]] = {}
    for key in page:
        source, _, pk = key.partition(":")
        pks.setdefault(source, []).append(pk)
    known: dict[str, bool] = {}
    marked = 0
    for source, keys in pks.items():
        rows = Entry.objects.filter(source=source, object_pk__in=keys)
        found = dict(rows.values_list("object_pk", "present"))
        known |= {ledger.entry_key(source, pk): present for pk, present in found.items()}
        gone = [pk for pk, present in found.items() if not present]
        marked += ledger.mark(source, gone, present=False)
    return marked, [key for key in page if key not in known]


def _mark_lost(held: NDArray[np.uint64], name: str) -> int:
    """Mark entries called indexed that the generation does not hold."""
    import numpy as np

    count = 0
    rows = Entry.objects.filter(present=True, state=State.INDEXED).order_by()
    columns = rows.values_list("source", "object_pk", "generation").iterator(_PAGE)
    for page in _pages(columns):
        keys = [ledger.entry_key(source, pk) for source, pk, _ in page]
        prints = np.array(list(map(_print, keys)), dtype=np.uint64)
        places = np.searchsorted(held, prints).clip(max=max(len(held) - 1, 0))
        there = held[places] == prints if len(held) else np.zeros(len(page), bool)
        lost: dict[str, list[str]] = {}
        for (source, pk, generation), found in zip(page, there, strict=True):
            if not found or generation != name:
                lost.setdefault(source, []).append(pk)
        count += sum(ledger.mark(source, pks, force=True) for source, pks in lost.items())
    return count


def _print(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())


def _pages(items: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(items)
    while page := list(islice(rest, _PAGE)):
        yield page
