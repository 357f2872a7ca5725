"""Which querysets a source may return, and what they must load."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard, TypeVar

from django.db.models import Manager, Model, Prefetch, QuerySet
from django.db.models.query import ModelIterable

_M = TypeVar("_M", bound=Model)


def from_primary(rows: QuerySet[_M]) -> QuerySet[_M]:
    """Read the rows from the database that takes writes, unless the queryset names one itself."""
    # A replica may lag behind. `db` of a queryset that locks is the database it names, or else
    # the one that the router gives for writes; nothing is locked by asking.
    return rows.using(rows.select_for_update().db)


def is_kind_of(model: type[Model], other: type[Model]) -> bool:
    """Return whether `model` is `other`, a subclass of it, or a proxy of either."""
    return issubclass(concrete(model), concrete(other))


def concrete(model: type[Model]) -> type[Model]:
    """Return the model with a table of its own that a proxy stands for."""
    return model._meta.concrete_model or model


def fault_of(rows: object, model: type[Model]) -> str:
    """Return what is wrong with the rows for a source of that model, or ""."""
    label = model._meta.label
    if isinstance(rows, Manager):
        return f"it is a manager; return the queryset {label}.objects.all()."
    if not isinstance(rows, QuerySet):
        return f"it is no queryset of {label}, but {type(rows).__name__}."
    if not is_kind_of(rows.model, model):
        return f"it is a queryset of {rows.model._meta.label}, not of {label}."
    # Django has no public attribute for what values() and values_list() change.
    if not issubclass(rows._iterable_class, ModelIterable):
        return "it yields values, not model instances; leave out values() and values_list()."
    if rows.query.combinator:
        return (
            f"{rows.query.combinator}() made it, so that it cannot be filtered; use | and filter()."
        )
    if rows.query.is_sliced:
        return "it is a slice, and cannot be filtered; use filter() instead."
    return ""


def load_also(rows: QuerySet[Any], lookups: Iterable[str]) -> QuerySet[Any]:
    """Return the rows with these fields loaded, whatever `only()` and `defer()` left out.

    `select_related` cannot follow a foreign key that is not loaded.
    """
    names, deferred = rows.query.deferred_loading
    if not names:
        return rows
    steps = [lookup.split("__") for lookup in lookups]
    needed = {"__".join(parts[:end]) for parts in steps for end in range(1, len(parts) + 1)}
    if deferred:
        return rows.defer(None).defer(*(set(names) - needed))
    return rows.only(*names, *needed)


def prefetch_also(
    rows: QuerySet[Any], lookups: Sequence[str | Prefetch[Any]] = ()
) -> QuerySet[Any]:
    """Return the rows with these relations prefetched beside what the queryset prefetches itself.

    Where both have a queryset for a relation, its own counts. Django raises ValueError if a lookup
    with a queryset comes after another that passes through the same relation.
    """
    # Django has no public attribute for what `prefetch_related` was given.
    own = rows._prefetch_related_lookups  # type: ignore[attr-defined]
    taken = {one.prefetch_to for one in own if _has_queryset(one)}
    also = [one for one in lookups if not (_has_queryset(one) and one.prefetch_to in taken)]
    ordered = sorted([*own, *also], key=lambda one: (not _has_queryset(one), _depth(one)))
    return rows.prefetch_related(None).prefetch_related(*ordered) if ordered else rows


def _has_queryset(lookup: str | Prefetch[Any]) -> TypeGuard[Prefetch[Any]]:
    return isinstance(lookup, Prefetch) and lookup.queryset is not None


def _depth(lookup: str | Prefetch[Any]) -> int:
    """Return the number of relations before the last one, as far as order depends on it."""
    return lookup.prefetch_to.count("__") if _has_queryset(lookup) else 0
