"""Find what no signal told: `bulk_create`, `update()`, raw SQL, fixtures, database cascades."""

from __future__ import annotations

from dataclasses import dataclass
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
    TextField,
    UUIDField,
    Value,
    When,
)
from django.db.models.functions import MD5, Cast, Coalesce, Concat, Replace
from django.utils import timezone

from mmsearch_app import ledger, poke
from mmsearch_app.comparing import compare_index
from mmsearch_app.models import Entry, State
from mmsearch_app.primary import from_primary
from mmsearch_app.registry import registry
from mmsearch_app.sources import ImageSource

__all__ = ["Drift", "key_field", "reconcile", "signature"]

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
        _mark(s, from_primary(s.get_queryset()) if files else drifted(s, given_up=given_up), "pk")
        for s in sources
    )
    gone = sum(_mark(s, vanished(s), "object_pk", present=False) for s in sources)
    if not names:
        gone += _forget_sources()
    lost, strays = compare_index() if deep else (0, 0)
    cutoff = timezone.now() - _KEEP_REMOVED
    Entry.objects.filter(state=State.REMOVED, due_at=None, marked_at__lt=cutoff).delete()
    poke.after_commit()
    return Drift(changed=changed, gone=gone, lost=lost, strays=strays)


def signature(source: ImageSource) -> Expression:
    """MD5 of the row's columns behind the source's paths, computed by the database.

    Paths through properties or to many rows take no part: their changes need a signal or
    `mark`.
    """
    lookups = {path.lookup for path in source.paths.values() if path.lookup and not path.many}
    text = TextField()
    parts: list[Any] = [Value(source.name, output_field=text)]
    for lookup in sorted(lookups):
        parts += [Value("\x1f", output_field=text)]
        parts += [Coalesce(Cast(lookup, text), Value("", output_field=text))]
    return MD5(Concat(*parts, output_field=text), output_field=CharField())


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


def key_field(source: ImageSource) -> Field[Any, Any]:
    """The field that holds the primary key itself, behind one-to-one links."""
    field: Any = source.model._meta.pk
    while field.is_relation:
        field = field.target_field
    return field  # type: ignore[no-any-return]


def _mark(source: ImageSource, rows: QuerySet[Any, Any], key: str, *, present: bool = True) -> int:
    """Mark rows page by page; a page is read to its end before anything is written."""
    count, last = 0, None
    while True:
        page = rows.filter(pk__gt=last) if last is not None else rows
        found = list(page.order_by("pk").values_list("pk", key)[:_CHUNK])
        if not found:
            return count
        last = found[-1][0]
        count += ledger.mark(source.name, [value for _, value in found], present=present)


def _forget_sources() -> int:
    """Entries of sources that are no longer registered want to be removed."""
    names = [source.name for source in registry]
    count = 0
    orphans = Entry.objects.filter(present=True).exclude(source__in=names)
    for name in list(orphans.order_by().values_list("source", flat=True).distinct()):
        pks = list(orphans.filter(source=name).values_list("object_pk", flat=True))
        count += ledger.mark(name, pks, present=False)
    return count
