"""Turn each save and delete of registered models into one row of the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.apps import apps
from django.db.models import Model, QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from mmsearch_app.indexing import ledger, marks, notify
from mmsearch_app.sources import ManyLink, Watched, from_primary, is_kind_of, many_links, registry

_CHUNK = 500
_PAGE = 10_000
"""Keys of rows that are in memory at the same time: a category may have any number of products."""
_MOVED = "_mmsearch_moved"
"""Attribute of an instance between `pre_save` and `post_save`: where its links pointed before."""


def connect() -> None:
    """Connect every registered model and what it depends on; calling it twice is harmless.

    Subclasses and proxies are connected as well, since Django sends their own class.
    """
    for model in apps.get_models(include_auto_created=True):
        uid = f"mmsearch_app.{model._meta.label_lower}"
        watched = registry.watching(model)
        if registry.of_model(model) or watched:
            post_save.connect(_saved, sender=model, dispatch_uid=uid)
            pre_delete.connect(_about_to_be_deleted, sender=model, dispatch_uid=uid)
            post_delete.connect(_deleted, sender=model, dispatch_uid=uid)
        if any(one.via for one in watched):
            pre_save.connect(_about_to_be_saved, sender=model, dispatch_uid=uid)
    for source in registry:
        for link in many_links(source):
            uid = f"mmsearch_app.{source.name}.{link.through._meta.label_lower}"
            m2m_changed.connect(_related, sender=link.through, dispatch_uid=uid)


def mark(what: Model | QuerySet[Any], *, force: bool = False) -> int:
    """Mark a row, or all rows of a queryset, as changed; return how many entries were marked.

    For changes that send no signal: `bulk_create`, `update()`, raw SQL. Marks rows of a
    registered model, rows that depend on the given ones, and the images of given products.
    With `force` the images are embedded again even if their content is unchanged. Raises
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
    count = 0
    for chunk in ledger.in_chunks(pks, _CHUNK):
        count += _mark_all(model, chunk, force=force)
    notify.after_commit()
    return count


def is_known(model: type[Model]) -> bool:
    """Return whether `mark` accepts rows of `model`: images depend on them."""
    return bool(registry.of_model(model) or registry.watching(model))


def _mark_all(model: type[Model], pks: list[Any], *, force: bool) -> int:
    """Mark all entries that depend on those rows of `model`, each once."""
    own = {source.name for source in registry.of_model(model)}
    count = sum(marks.mark_rows(name, pks, force=force) for name in own)
    watched = [(one, one.stored_keys(pks)) for one in registry.watching(model)]
    return count + _mark_dependent(watched, force=force, known=pks if own else ())


def _saved(
    *,
    instance: Model,
    created: bool = False,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    moved: dict[Watched, Any] = vars(instance).pop(_MOVED, {})
    if raw:
        return
    _mark_own(instance)
    if watched := registry.watching(type(instance)):
        _mark_dependent(
            (one, [one.key_of(instance), *moved.get(one, ())])
            for one in watched
            if one.is_read(update_fields) and not (created and one.points_later)
        )
    notify.after_commit()


def _about_to_be_saved(*, instance: Model, raw: bool = False, **_: Any) -> None:
    """Remember where the row's links point before the save: those rows lose a value by it."""
    if not raw and not instance._state.adding:
        watched = [one for one in registry.watching(type(instance)) if one.via]
        vars(instance)[_MOVED] = {one: one.stored_keys([_key(instance)]) for one in watched}


def _about_to_be_deleted(*, instance: Model, **_: Any) -> None:
    """Mark what depends on the row while the links to it still exist."""
    _mark_dependent((one, [one.key_of(instance)]) for one in registry.watching(type(instance)))


def _deleted(*, instance: Model, **_: Any) -> None:
    """Mark the row as after a save: the worker finds out whether it is gone.

    It may still exist: `delete(keep_parents=True)` leaves the parent's row, and the signal may
    come from another database than the one that the shop shows.
    """
    _mark_own(instance)
    notify.after_commit()


def _mark_own(instance: Model) -> None:
    for source in registry.of_model(type(instance)):
        marks.mark_rows(source.name, [_key(instance)])


def _mark_dependent(
    watched: Iterable[tuple[Watched, Iterable[Any]]],
    *,
    force: bool = False,
    known: Collection[Any] = (),
) -> int:
    """Mark the rows that depend on those keys; one query and one statement per source.

    Rows with the keys `known` are marked already. Returns how many rows were marked.
    """
    found: dict[str, QuerySet[Any]] = {}
    for one, keys in watched:
        rows = one.rows({*keys})
        name = one.source.name
        found[name] = found[name] | rows if name in found else rows
    return sum(_mark_rows(name, rows, force=force, known=known) for name, rows in found.items())


def _mark_rows(name: str, rows: QuerySet[Any], *, force: bool, known: Collection[Any] = ()) -> int:
    """Mark any number of rows, `_PAGE` at a time."""
    count, rows = 0, rows.order_by("pk").distinct()
    while True:
        pks = list(rows.values_list("pk", flat=True)[:_PAGE])
        for chunk in ledger.in_chunks((pk for pk in pks if pk not in known), _CHUNK):
            count += marks.mark_rows(name, chunk, force=force)
        if len(pks) < _PAGE:
            return count
        rows = rows.filter(pk__gt=pks[-1])


def _key(instance: Model) -> Any:
    """Return the primary key in its own type: what the shop assigned may still be a text."""
    return instance._meta.pk.to_python(instance.pk)


def _related(
    *, sender: type[Model], instance: Model, action: str, reverse: bool, pk_set: Any, **_: Any
) -> None:
    """Mark the rows that depend on a many-to-many link of one of the paths."""
    if action not in ("post_add", "post_remove", "pre_clear", "post_clear"):
        return
    for source in registry:
        for link in many_links(source):
            if link.through is sender:
                for owners in ledger.in_chunks(_owners(link, instance, reverse, pk_set), _CHUNK):
                    rows = source.model._base_manager.filter(**{f"{link.lookup}__in": owners})
                    _mark_rows(source.name, from_primary(rows), force=False)
    notify.after_commit()


def _owners(link: ManyLink, instance: Model, reverse: bool, pk_set: Any) -> Iterable[Any]:  # noqa: FBT001
    """Return the keys at this end of the changed links."""
    if link.forward != reverse:
        # A table of links may belong to several models, as that of tags does.
        return [instance.pk] if is_kind_of(type(instance), link.owner) else []
    if pk_set is not None:
        return list(pk_set)
    # The links are about to be cleared.
    name = link.field.name if link.forward else link.field.related_query_name()
    linked = from_primary(link.owner._base_manager.filter(**{name: instance.pk}))
    return linked.values_list("pk", flat=True).iterator(_CHUNK)
