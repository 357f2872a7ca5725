"""Find changes that sent no signal: `bulk_create`, `update()`, raw SQL, fixtures, cascades."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    Exists,
    Expression,
    Field,
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
from mmsearch_app.indexes import IndexUnavailable
from mmsearch_app.indexing import ledger, marks, notify, watch
from mmsearch_app.indexing.batch import EmbedderDown
from mmsearch_app.indexing.compare import compare_index, mark_entries, pages_of_ledger
from mmsearch_app.indexing.generations import ReindexNeeded
from mmsearch_app.indexing.transactions import in_transaction
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import ImageSource, from_primary, key_field, registry, signature

log = logging.getLogger(__name__)

_PAGE = 2000
_KEEP_REMOVED = timedelta(days=1)
_GIVEN_UP = timedelta(days=1)
_SHAPES = {
    BigIntegerField: r"^(0|-?[1-9][0-9]{0,17}|-?[1-8][0-9]{18})$",
    UUIDField: r"^[0-9a-f]{32}$",
}
"""What a key of the ledger must look like to be a key of the model. The type of the model's key
may have changed since the entry was written, and PostgreSQL refuses to cast what does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Numbers of differences that were found and marked."""

    changed: int = 0
    """Rows without a current entry: new, changed without a signal, or given up a day ago."""
    gone: int = 0
    """Entries whose row is deleted or may no longer be shown."""
    lost: int = 0
    """Entries recorded as indexed that the index lacks or, if `deep`, has in another version."""
    strays: int = 0
    """Records of the index that no entry asks for (deep only)."""

    @property
    def total(self) -> int:
        """The sum of all four."""
        return self.changed + self.gone + self.lost + self.strays


def reconcile(*names: str, deep: bool = False, files: bool = False, given_up: bool = True) -> Drift:
    """Mark every difference between the sources (all, or those named) and the ledger.

    One anti-join each way and per source; safe to run at any time, and twice. An index that is
    lost, emptied or restored from a backup is noticed, and times that were written under a wrong
    clock are corrected. With `deep` every record of the index is compared in any case. With
    `files` every row counts as changed, so that the worker reads all images and embeds those
    whose bytes differ (a file was replaced under its own name). With `given_up` images that were
    given up get another chance, once a day.
    Raises KeyError for an unknown name, and IndexFault if `deep` and the index is unavailable.
    """
    drift = find_drift(*names, files=files, given_up=given_up)
    ledger.correct_times(thorough=True)
    lost, strays = _check_index(deep=deep)
    cutoff = timezone.now() - _KEEP_REMOVED
    old = Entry.objects.filter(state=State.REMOVED, due_at=None, marked_at__lt=cutoff)
    in_transaction(old.delete)
    notify.after_commit()
    return replace(drift, lost=lost, strays=strays)


def _check_index(*, deep: bool) -> tuple[int, int]:
    """Look whether the index is still right, and mark what it lost; `deep` compares all records.

    Returns how many entries were lost, and how many records no entry asks for. Without `deep`, an
    index that is unavailable is no error: a worker looks as soon as it is back.
    """
    if not deep and not getattr(get_index(), "durable", True):
        return 0, 0  # in the memory of another process
    try:
        lost = watch.look()
    except (IndexUnavailable, EmbedderDown, ReindexNeeded) as error:
        if deep and isinstance(error, IndexUnavailable):
            raise
        log.warning("The index was not checked: %s", error)
        lost = 0
    if not deep:
        return lost, 0
    more, strays = compare_index()
    return lost + more, strays


def find_drift(*names: str, files: bool = False, given_up: bool = True) -> Drift:
    """Do the part of `reconcile` that compares the sources with the ledger."""
    changed = gone = 0
    for source in [registry.get(name) for name in names] or registry:
        rows = (
            from_primary(source.get_queryset())
            if files
            else find_drifted(source, given_up=given_up)
        )
        changed += _mark_pages(source, rows, "pk", present=True)
        gone += _mark_pages(source, find_vanished(source), "object_pk", present=False)
    if not names:
        gone += _mark_unregistered()
    return Drift(changed=changed, gone=gone)


def find_drifted(source: ImageSource, *, given_up: bool) -> QuerySet[Any]:
    """Return rows of the source without an entry that is current or already waiting.

    With `given_up`, an entry that was given up or whose file is missing is current for a day only.
    """
    key: Expression = Cast(OuterRef("pk"), CharField())
    if isinstance(key_field(source), UUIDField):
        key = Replace(key, Value("-"), Value(""))
    known = Q(signature=OuterRef("mmsearch_signature"))
    if given_up:
        again = Q(state=State.FAILED) | Q(state=State.EMPTY, error__startswith=ledger.MISSING)
        known &= ~(again & Q(marked_at__lt=timezone.now() - _GIVEN_UP))
    settled = Q(state=State.PENDING) | known
    current = Entry.objects.filter(settled, source=source.name, object_pk=key, present=True)
    rows: QuerySet[Any] = from_primary(source.get_queryset())
    rows = rows.annotate(mmsearch_signature=signature(source))
    return rows.filter(~Exists(current))


def find_vanished(source: ImageSource) -> QuerySet[Entry]:
    """Return entries that want a row which the source's queryset no longer contains."""
    field = key_field(source)
    rows, key = from_primary(source.get_queryset()).order_by(), OuterRef("object_pk")
    wanted = Entry.objects.filter(source=source.name, present=True)
    if isinstance(field, IntegerField | UUIDField):
        kind = BigIntegerField if isinstance(field, IntegerField) else UUIDField
        wanted = wanted.annotate(mmsearch_key=_ModelKey(kind))
        rows = rows.filter(pk=OuterRef("mmsearch_key"))
    else:
        if isinstance(field, CharField):  # by its index; it may ignore case and trailing spaces
            rows = rows.filter(pk=Cast(key, CharField(max_length=field.max_length)))
        rows = rows.annotate(mmsearch_key=Cast("pk", CharField())).filter(mmsearch_key=key)
    return wanted.filter(~Exists(rows))


class _ModelKey(Case):
    """An entry's key as one of the model, or NULL if it does not look like one."""

    def __init__(self, kind: type[Field[Any, Any]]) -> None:
        fits = When(object_pk__regex=_SHAPES[kind], then=Cast("object_pk", kind()))
        super().__init__(fits, default=None)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        """Compare texts: regular expressions are functions of Python there, and no cast fails."""
        cast: Any = self.cases[0].result
        key, params = compiler.compile(cast)
        text, more = compiler.compile(*cast.get_source_expressions())
        return f"CASE WHEN CAST({key} AS text) = {text} THEN {key} END", [*params, *more, *params]


def _mark_pages(source: ImageSource, rows: QuerySet[Any, Any], key: str, *, present: bool) -> int:
    """Mark rows page by page; a page is read to its end before anything is written."""
    count, last = 0, None
    while True:
        page = rows.filter(pk__gt=last) if last is not None else rows
        found = list(page.order_by("pk").values_list("pk", key)[:_PAGE])
        if not found:
            return count
        last = found[-1][0]
        count += marks.mark_rows(source.name, [value for _, value in found], present=present)


def _mark_unregistered() -> int:
    """Mark entries of sources that are no longer registered as gone; return how many."""
    names = [source.name for source in registry]
    orphans = Entry.objects.filter(present=True).exclude(source__in=names)
    return sum(mark_entries(entries, present=False) for entries in pages_of_ledger(orphans))
