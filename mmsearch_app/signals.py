"""A save or delete of registered models leads to one row in the ledger, no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.apps import apps
from django.db.models import ManyToManyField, Model, QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete

from mmsearch_app import ledger, poke
from mmsearch_app.sources import ImageSource, find_rows, known_labels, registry

__all__ = ["connect", "mark"]

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
        for through, _owner in _relations(source):
            uid = f"mmsearch_app.{source.name}.{through._meta.label_lower}"
            m2m_changed.connect(_related, sender=through, dispatch_uid=uid)


def mark(what: Model | QuerySet[Any], *, force: bool = False) -> int:
    """Say that a row, or all rows of a queryset, changed; returns how many entries are marked.

    For changes that send no signal: `bulk_create`, `update()`, raw SQL. Rows of a registered
    model are marked, and rows that depend on the given ones. With `force` the pictures are
    embedded anew even where nothing seems changed. Raises ValueError for other models.
    """
    model = what.model if isinstance(what, QuerySet) else type(what)
    if not registry.of_model(model) and not registry.depending_on(model):
        known = known_labels([source.model for source in registry])
        msg = f"{model._meta.label} is not registered for search; registered are: {known}."
        raise ValueError(msg)
    if isinstance(what, QuerySet):
        pks: Iterable[Any] = what.values_list("pk", flat=True).iterator(_CHUNK)
    else:
        pks = [what.pk]
    count = sum(_mark(model, chunk, force=force) for chunk in _chunks(iter(pks)))
    poke.after_commit()
    return count


def _chunks(pks: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(pks, _CHUNK)):
        yield chunk


def _mark(model: type[Model], pks: list[Any], *, force: bool = False) -> int:
    own = registry.of_model(model)
    count = sum(ledger.mark(source.name, pks, force=force) for source in own)
    return count + _mark_dependent(model, pks, force=force)


def _mark_dependent(model: type[Model], pks: list[Any], *, force: bool = False) -> int:
    return sum(
        ledger.mark(source.name, find_rows(source, parent, path, pks), force=force)
        for source, parent, path in registry.depending_on(model)
    )


def _saved(*, instance: Model, raw: bool = False, **_: Any) -> None:
    if not raw:
        _mark(type(instance), [instance.pk])
        poke.after_commit()


def _about_to_be_deleted(*, instance: Model, **_: Any) -> None:
    """Mark what depends on the row while the links to it still exist."""
    _mark_dependent(type(instance), [instance.pk])


def _deleted(*, instance: Model, **_: Any) -> None:
    for source in registry.of_model(type(instance)):
        ledger.mark(source.name, [instance.pk], present=False)
    poke.after_commit()


def _related(
    *, sender: type[Model], instance: Model, action: str, reverse: bool, pk_set: Any, **_: Any
) -> None:
    """A many-to-many link on one of the paths changed: mark the rows on its other end."""
    if action not in ("post_add", "post_remove", "pre_clear", "post_clear"):
        return
    for source in registry:
        for through, (lookup, field) in _relations(source):
            if through is sender:
                owners = _owners(instance, field, pk_set) if reverse else [instance.pk]
                rows = source.model._base_manager.filter(**{f"{lookup}__in": owners})
                ledger.mark(source.name, rows.values_list("pk", flat=True).distinct())
    poke.after_commit()


def _owners(instance: Model, field: ManyToManyField[Any, Any], pk_set: Any) -> list[Any]:
    if pk_set is not None:
        return list(pk_set)
    owners = field.model._base_manager.filter(**{field.name: instance.pk})
    return list(owners.values_list("pk", flat=True))


def _relations(
    source: ImageSource,
) -> Iterator[tuple[type[Model], tuple[str, ManyToManyField[Any, Any]]]]:
    """Through models of the many-to-many fields on the source's paths, with the lookup from
    a row to the field's owner, and the field."""
    for path in source.paths.values():
        if not path.to_many:
            continue
        *before, last = path.to_many.split("__")
        owner: Any = source.model
        for part in before:
            owner = owner._meta.get_field(part).related_model
        field = next((f for f in owner._meta.many_to_many if f.name == last), None)
        if field is not None:
            through: Any = field.remote_field.through
            yield through, ("__".join(before) or "pk", field)
