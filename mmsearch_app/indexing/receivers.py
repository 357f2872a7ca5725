"""A save or delete of registered models leads to one row in the ledger, no more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.apps import apps
from django.db.models import ManyToManyField, Model, QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete

from mmsearch_app.indexing import ledger, notify
from mmsearch_app.sources import (
    ImageSource,
    find_pictures,
    find_rows,
    from_primary,
    paths,
    registry,
)

__all__ = ["connect", "is_known", "mark"]

_CHUNK = 500


def connect() -> None:
    """Listen to every registered model and what it depends on; calling it twice is harmless.

    Subclasses and proxies are listened to as well, since Django sends their own class.
    """
    for model in apps.get_models(include_auto_created=True):
        uid = f"mmsearch_app.{model._meta.label_lower}"
        if registry.of_model(model) or registry.depending_on(model):
            post_save.connect(_saved, sender=model, dispatch_uid=uid)
            pre_delete.connect(_about_to_be_deleted, sender=model, dispatch_uid=uid)
            post_delete.connect(_deleted, sender=model, dispatch_uid=uid)
    for source in registry:
        for through, *_ in _relations(source):
            uid = f"mmsearch_app.{source.name}.{through._meta.label_lower}"
            m2m_changed.connect(_related, sender=through, dispatch_uid=uid)


def mark(what: Model | QuerySet[Any], *, force: bool = False) -> int:
    """Say that a row, or all rows of a queryset, changed; returns how many entries are marked.

    For changes that send no signal: `bulk_create`, `update()`, raw SQL. Rows of a registered
    model are marked, rows that depend on the given ones, and the pictures of given products.
    With `force` the pictures are embedded anew even where nothing seems changed. Raises
    ValueError for other models.
    """
    model = what.model if isinstance(what, QuerySet) else type(what)
    if not is_known(model):
        known = registry.labels()
        msg = f"{model._meta.label} is not registered for search; registered are: {known}."
        raise ValueError(msg)
    if isinstance(what, QuerySet):
        pks: Iterable[Any] = what.values_list("pk", flat=True).iterator(_CHUNK)
    else:
        pks = [_key(what)]
    count = sum(_mark_all(model, chunk, force=force) for chunk in _chunks(iter(pks)))
    notify.after_commit()
    return count


def is_known(model: type[Model]) -> bool:
    """Whether pictures hang on rows of `model`, so that `mark` takes them."""
    own = registry.of_model(model) or registry.of_product(model)
    return bool(own or registry.depending_on(model))


def _mark_all(model: type[Model], pks: list[Any], *, force: bool) -> int:
    """Mark each row once, on however many ways it is found."""
    rows: dict[str, list[Any]] = defaultdict(list)
    for source in registry.of_model(model):
        rows[source.name] += pks
    for source, parent, path in registry.depending_on(model):
        rows[source.name] += find_rows(source, parent, path, pks)
    for source in registry.of_product(model):
        rows[source.name] += [pk for pk, _ in find_pictures(source, pks)]
    return sum(ledger.mark_rows(name, keys, force=force) for name, keys in rows.items())


def _chunks(pks: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(pks, _CHUNK)):
        yield chunk


def _saved(
    *,
    instance: Model,
    raw: bool = False,
    created: bool = False,
    update_fields: frozenset[str] | None = None,
    **_: Any,
) -> None:
    if raw:
        return
    model, key = type(instance), _key(instance)
    for source in registry.of_model(model):
        ledger.mark_rows(source.name, [key])
    _mark_dependent(model, key)
    notify.after_commit()


def _mark_dependent(model: type[Model], key: Any) -> None:
    for source, parent, path in registry.depending_on(model):
        ledger.mark_rows(source.name, find_rows(source, parent, path, [key]))


def _about_to_be_deleted(*, instance: Model, **_: Any) -> None:
    """Mark what depends on the row while the links to it still exist."""
    _mark_dependent(type(instance), _key(instance))


def _deleted(*, instance: Model, **_: Any) -> None:
    """Mark it like a save: the worker finds out whether the row is gone.

    It may be there still: `delete(keep_parents=True)` leaves the parent's row, and the signal
    may be of another database than the one that the shop shows.
    """
    for source in registry.of_model(type(instance)):
        ledger.mark_rows(source.name, [_key(instance)])
    notify.after_commit()


def _key(instance: Model) -> Any:
    """The primary key in its own type: what the shop assigned may still be a text."""
    return instance._meta.pk.to_python(instance.pk)


def _related(
    *, sender: type[Model], instance: Model, action: str, reverse: bool, pk_set: Any, **_: Any
) -> None:
    """A many-to-many link on one of the paths changed: mark the rows that hang on it."""
    if action not in ("post_add", "post_remove", "pre_clear", "post_clear"):
        return
    for source in registry:
        for through, lookup, field, forward in _relations(source):
            if through is not sender:
                continue
            if forward != reverse:
                owners = [instance.pk]
            elif pk_set is not None:
                owners = list(pk_set)
            else:
                owners = _linked(instance, field, forward=forward)
            rows = from_primary(source.model._base_manager.filter(**{f"{lookup}__in": owners}))
            ledger.mark_rows(source.name, rows.values_list("pk", flat=True).distinct())
    notify.after_commit()


def _linked(instance: Model, field: ManyToManyField[Any, Any], *, forward: bool) -> list[Any]:
    """What is on the other end of the links that are about to be cleared."""
    model: Any = field.model if forward else field.related_model
    name = field.name if forward else field.related_query_name()
    linked = from_primary(model._base_manager.filter(**{name: instance.pk}))
    return list(linked.values_list("pk", flat=True))


def _relations(
    source: ImageSource,
) -> Iterator[tuple[type[Model], str, ManyToManyField[Any, Any], bool]]:
    """Many-to-many links on the source's paths: the through model, the lookup from a row to
    what the path comes from, the field, and whether the path follows it forward."""
    for path in source.paths.values():
        if not path.to_many:
            continue
        *before, last = path.to_many.split("__")
        owner: Any = source.model
        for part in before:
            owner = owner._meta.get_field(part).related_model
        found: Any = paths.find(owner, last)
        if found.many_to_many:
            forward = isinstance(found, ManyToManyField)  # on Django 6 it is not `concrete`
            field = found if forward else found.field
            yield field.remote_field.through, "__".join(before) or "pk", field, forward
