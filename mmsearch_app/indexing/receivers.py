"""Turn each save and delete of registered models into one row of the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.db.models import ManyToManyField, Model, QuerySet
from django.db.models.fields.reverse_related import ForeignObjectRel
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete

from mmsearch_app.indexing import ledger, notify
from mmsearch_app.sources import (
    ImageSource,
    find_links,
    find_pictures,
    from_primary,
    is_kind_of,
    paths,
    registry,
)

_CHUNK = 500


def connect() -> None:
    """Connect every registered model and what it depends on; calling it twice is harmless.

    Subclasses and proxies are connected as well, since Django sends their own class.
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
    own = registry.of_model(model) or registry.of_product(model)
    return bool(own or registry.depending_on(model))


def _mark_all(model: type[Model], pks: list[Any], *, force: bool) -> int:
    """Mark all entries that depend on those rows of `model`, each once."""
    rows: dict[str, list[Any]] = defaultdict(list)
    for source in registry.of_model(model):
        rows[source.name] += pks
    for source, parent, path in registry.depending_on(model):
        rows[source.name] += [pk for pk, _ in find_links(source, parent, path, pks)]
    for source in registry.of_product(model):
        rows[source.name] += [pk for pk, _ in find_pictures(source, pks)]
    count = 0
    for name, keys in rows.items():
        count += ledger.mark_rows(name, keys, force=force)
    return count


def _saved(*, instance: Model, raw: bool = False, **_: Any) -> None:
    if not raw:
        _mark_own(instance)
        _mark_dependent(instance)
        notify.after_commit()


def _about_to_be_deleted(*, instance: Model, **_: Any) -> None:
    """Mark what depends on the row while the links to it still exist."""
    _mark_dependent(instance)


def _deleted(*, instance: Model, **_: Any) -> None:
    """Mark the row as after a save: the worker finds out whether it is gone.

    It may still exist: `delete(keep_parents=True)` leaves the parent's row, and the signal may
    come from another database than the one that the shop shows.
    """
    _mark_own(instance)
    notify.after_commit()


def _mark_own(instance: Model) -> None:
    for source in registry.of_model(type(instance)):
        ledger.mark_rows(source.name, [_key(instance)])


def _mark_dependent(instance: Model) -> None:
    for source, parent, path in registry.depending_on(type(instance)):
        links = find_links(source, parent, path, [_key(instance)])
        ledger.mark_rows(source.name, [pk for pk, _ in links])


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
        for through, lookup, field, forward in _relations(source):
            if through is not sender:
                continue
            if forward != reverse:
                owner = field.model if forward else field.related_model
                if not is_kind_of(type(instance), owner):
                    continue  # a table of links that several models share, as of tags
                owners = [instance.pk]
            elif pk_set is not None:
                owners = list(pk_set)
            else:
                owners = _linked(instance, field, forward=forward)
            rows = from_primary(source.model._base_manager.filter(**{f"{lookup}__in": owners}))
            ledger.mark_rows(source.name, rows.values_list("pk", flat=True).distinct())
    notify.after_commit()


def _linked(instance: Model, field: ManyToManyField[Any, Any], *, forward: bool) -> list[Any]:
    """Return the keys at the other end of the links that are about to be cleared."""
    model: Any = field.model if forward else field.related_model
    name = field.name if forward else field.related_query_name()
    linked = from_primary(model._base_manager.filter(**{name: instance.pk}))
    return list(linked.values_list("pk", flat=True))


def _relations(
    source: ImageSource,
) -> Iterator[tuple[type[Model], str, ManyToManyField[Any, Any], bool]]:
    """Yield the many-to-many links on the source's paths.

    Each with its through model, the lookup from a row to the owner of the link, the field, and
    whether the path follows it forward.
    """
    for path in source.paths.values():
        if not path.to_many:
            continue
        *before, last = path.to_many.split("__")
        owner: Any = source.model
        for part in before:
            owner = owner._meta.get_field(part).related_model
        found: Any = paths.find(owner, last)
        if found.many_to_many:
            forward = not isinstance(found, ForeignObjectRel)  # fields of libraries are forward
            field = found if forward else found.field
            yield field.remote_field.through, "__".join(before) or "pk", field, forward
