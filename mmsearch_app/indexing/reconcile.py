"""Find what no signal told: `bulk_create`, `update()`, raw SQL, fixtures, database cascades."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    Exists,
    Expression,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    UUIDField,
    Value,
    When,
)
from django.db.models.functions import Cast, Replace
from django.utils import timezone

from mmsearch_app.backends import get_index
from mmsearch_app.indexing import ledger, notify
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import (
    ImageSource,
    entry_key,
    from_primary,
    key_field,
    registry,
    signature,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

from typing import TYPE_CHECKING

__all__ = ["Drift", "compare_index", "reconcile"]


_CHUNK = 2000
_KEEP_REMOVED = timedelta(days=1)
_GIVEN_UP = timedelta(days=1)
_SHAPES = {BigIntegerField: r"^-?[0-9]{1,18}$", UUIDField: r"^[0-9a-f]{32}$"}
"""What a key of the ledger must look like to be one of the model's: its type may have changed
since it was written, and PostgreSQL refuses to cast another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What was found and marked."""

    changed: int = 0
    """Rows without a current entry: new, altered behind the signals, or given up a day ago."""
    gone: int = 0
    """Entries whose row is deleted or may no longer be shown."""
    lost: int = 0
    """Entries called indexed that the index does not hold (deep only)."""
    strays: int = 0
    """Records of the index that no entry accounts for, deleted (deep only)."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.changed + self.gone + self.lost + self.strays


def reconcile(*names: str, deep: bool = False, files: bool = False, given_up: bool = True) -> Drift:
    """Mark every difference between the sources (all, or those named) and the ledger.

    One anti-join each way and source; safe to run at any time and twice. With `deep` the ids
    in the index are compared with the ledger too (after a crash or a restored backup). With
    `files` every row counts as changed, so that the worker reads all pictures and embeds
    those whose bytes differ (a file was replaced under its own name). With `given_up` pictures
    that were given up get another chance, once a day.
    Raises KeyError for an unknown name.
    """
    sources = [registry.get(name) for name in names] or list(registry)
    changed = sum(
        _mark_pages(
            s, from_primary(s.get_queryset()) if files else drifted(s, given_up=given_up), "pk"
        )
        for s in sources
    )
    gone = sum(_mark_pages(s, vanished(s), "object_pk", present=False) for s in sources)
    if not names:
        gone += _forget_sources()
    lost, strays = compare_index() if deep else (0, 0)
    cutoff = timezone.now() - _KEEP_REMOVED
    Entry.objects.filter(state=State.REMOVED, due_at=None, marked_at__lt=cutoff).delete()
    notify.after_commit()
    return Drift(changed=changed, gone=gone, lost=lost, strays=strays)


def drifted(source: ImageSource, *, given_up: bool = False) -> QuerySet[Any]:
    """Rows of the source without an entry that is current or already waiting.

    With `given_up`, an entry that was given up is current for a day only.
    """
    key: Expression = Cast(OuterRef("pk"), CharField())
    if isinstance(key_field(source), UUIDField):
        key = Replace(key, Value("-"), Value(""))
    known = Q(signature=OuterRef("mmsearch_signature"))
    if given_up:
        known &= ~Q(state=State.FAILED, marked_at__lt=timezone.now() - _GIVEN_UP)
    settled = Q(state=State.PENDING) | known
    current = Entry.objects.filter(settled, source=source.name, object_pk=key, present=True)
    rows: QuerySet[Any] = from_primary(source.get_queryset())
    rows = rows.annotate(mmsearch_signature=signature(source))
    return rows.filter(~Exists(current))


def vanished(source: ImageSource) -> QuerySet[Entry]:
    """Entries that want a row which the source's queryset no longer has."""
    field = key_field(source)
    rows, key = from_primary(source.get_queryset()).order_by(), OuterRef("object_pk")
    wanted = Entry.objects.filter(source=source.name, present=True)
    if isinstance(field, IntegerField | UUIDField):
        kind = BigIntegerField if isinstance(field, IntegerField) else UUIDField
        fits = When(object_pk__regex=_SHAPES[kind], then=Cast("object_pk", kind()))
        wanted = wanted.annotate(mmsearch_key=Case(fits, default=None))
        rows = rows.filter(pk=OuterRef("mmsearch_key"))
    elif isinstance(field, CharField):
        rows = rows.filter(pk=Cast(key, CharField(max_length=field.max_length)))
    else:
        rows = rows.annotate(mmsearch_key=Cast("pk", CharField())).filter(mmsearch_key=key)
    return wanted.filter(~Exists(rows))


def _mark_pages(
    source: ImageSource, rows: QuerySet[Any, Any], key: str, *, present: bool = True
) -> int:
    """Mark rows page by page; a page is read to its end before anything is written."""
    count, last = 0, None
    while True:
        page = rows.filter(pk__gt=last) if last is not None else rows
        found = list(page.order_by("pk").values_list("pk", key)[:_CHUNK])
        if not found:
            return count
        last = found[-1][0]
        count += ledger.mark_rows(source.name, [value for _, value in found], present=present)


def _forget_sources() -> int:
    """Entries of sources that are no longer registered want to be removed."""
    names = [source.name for source in registry]
    count = 0
    orphans = Entry.objects.filter(present=True).exclude(source__in=names)
    for name in list(orphans.order_by().values_list("source", flat=True).distinct()):
        pks = list(orphans.filter(source=name).values_list("object_pk", flat=True))
        count += ledger.mark_rows(name, pks, present=False)
    return count


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
        known |= {entry_key(source, pk): present for pk, present in found.items()}
        gone = [pk for pk, present in found.items() if not present]
        marked += ledger.mark_rows(source, gone, present=False)
    return marked, [key for key in page if key not in known]


def _mark_lost(held: NDArray[np.uint64], name: str) -> int:
    """Mark entries called indexed that the generation does not hold."""
    import numpy as np

    count = 0
    rows = Entry.objects.filter(present=True, state=State.INDEXED).order_by()
    columns = rows.values_list("source", "object_pk", "generation").iterator(_PAGE)
    for page in _pages(columns):
        keys = [entry_key(source, pk) for source, pk, _ in page]
        prints = np.array(list(map(_print, keys)), dtype=np.uint64)
        places = np.searchsorted(held, prints).clip(max=max(len(held) - 1, 0))
        there = held[places] == prints if len(held) else np.zeros(len(page), bool)
        lost: dict[str, list[str]] = {}
        for (source, pk, generation), found in zip(page, there, strict=True):
            if not found or generation != name:
                lost.setdefault(source, []).append(pk)
        count += sum(ledger.mark_rows(source, pks, force=True) for source, pks in lost.items())
    return count


def _print(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())


def _pages(items: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(items)
    while page := list(islice(rest, _PAGE)):
        yield page
