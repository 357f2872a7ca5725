"""Find what no signal told: `bulk_create`, `update()`, raw SQL, fixtures, database cascades."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import (
    BigIntegerField,
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
)
from django.db.models.functions import MD5, Cast, Coalesce, Concat, Replace
from django.utils import timezone

from mmsearch_app import ledger, poke
from mmsearch_app.conf import get_index
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import ImageSource, registry

__all__ = ["Drift", "reconcile", "signature"]

_CHUNK = 2000
_KEEP_REMOVED = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What was found and marked."""

    changed: int = 0
    """Rows without a current entry: new or altered behind the signals."""
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


def reconcile(*names: str, deep: bool = False, files: bool = False) -> Drift:
    """Mark every difference between the sources (all, or those named) and the ledger.

    One anti-join each way and source; safe to run at any time and twice. With `deep` the ids
    in the index are compared with the ledger too (after a crash or a restored backup). With
    `files` every row counts as changed, so that the worker reads all pictures and embeds
    those whose bytes differ (a file was replaced under its own name).
    Raises KeyError for an unknown name.
    """
    sources = [registry.get(name) for name in names] or list(registry)
    changed = sum(_mark(s, s.get_queryset() if files else drifted(s), "pk") for s in sources)
    gone = sum(_mark(s, vanished(s), "object_pk", present=False) for s in sources)
    if not names:
        gone += _forget_sources()
    lost, strays = _compare_index() if deep else (0, 0)
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


def drifted(source: ImageSource) -> QuerySet[Any]:
    """Rows of the source without an entry that is current or already waiting."""
    key: Expression = Cast(OuterRef("pk"), CharField())
    if isinstance(_key_field(source), UUIDField):
        key = Replace(key, Value("-"), Value(""))
    settled = Q(state=State.PENDING) | Q(signature=OuterRef("mmsearch_signature"))
    current = Entry.objects.filter(settled, source=source.name, object_pk=key, present=True)
    rows: QuerySet[Any] = source.get_queryset().annotate(mmsearch_signature=signature(source))
    return rows.filter(~Exists(current))


def vanished(source: ImageSource) -> QuerySet[Entry]:
    """Entries that want a row which the source's queryset no longer has."""
    field = _key_field(source)
    rows, key = source.get_queryset().order_by(), OuterRef("object_pk")
    if isinstance(field, IntegerField):
        rows = rows.filter(pk=Cast(key, BigIntegerField()))
    elif isinstance(field, UUIDField | CharField):
        rows = rows.filter(pk=Cast(key, field.__class__(max_length=field.max_length)))
    else:
        rows = rows.annotate(mmsearch_key=Cast("pk", CharField())).filter(mmsearch_key=key)
    return Entry.objects.filter(source=source.name, present=True).filter(~Exists(rows))


def _key_field(source: ImageSource) -> Field[Any, Any]:
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


def _compare_index() -> tuple[int, int]:
    """Hold the live generation's ids against the ledger, both ways."""
    index = get_index()
    live = index.live()
    name = live.name if live else ""
    held = set(index.ids(generation=name)) if live else set()
    entries = Entry.objects.filter(present=True)
    lost: dict[str, list[str]] = {}
    columns = ("source", "object_pk", "state", "generation")
    for source, pk, state, generation in entries.values_list(*columns).iterator(_CHUNK):
        known = f"{source}:{pk}" in held and generation == name
        held.discard(f"{source}:{pk}")
        if state == State.INDEXED and not known:
            lost.setdefault(source, []).append(pk)
    for source, pks in lost.items():
        ledger.mark(source, pks, force=True)
    if held:
        index.delete(sorted(held), generation=name)
    return sum(map(len, lost.values())), len(held)
