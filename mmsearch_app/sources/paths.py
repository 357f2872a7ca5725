"""Dotted paths such as `product.categories.slug`: read their values, turn them into lookups."""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.files import File
from django.db.models import ForeignObject, Manager, ManyToManyField, Model, QuerySet
from django.db.models.fields.reverse_related import ForeignObjectRel

_COLLECTIONS = (list, tuple, set, frozenset, QuerySet, Iterator, KeysView, ValuesView)
_PLAIN = (str, int, float)
"""What JSON contains beside lists and objects."""
_SINGLE = (str, int, float, Model, File)
"""What most values are; the check for collections, of which some are abstract, is slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A dotted path, resolved against the fields of a model."""

    dotted: str
    lookup: str | None
    """The path in the ORM's notation, or None if a property or method is part of it."""
    field: Any
    """The last field or reverse relation on the path, or None."""
    to_one: str
    """The longest leading part that `select_related` can follow, or ""."""
    to_many: str
    """The leading part that ends in the first relation to many rows, or ""."""
    prefetch: tuple[str, ...] = ()
    """The leading parts that `prefetch_related` follows, in order."""

    @property
    def many(self) -> bool:
        """Whether one object may have several values."""
        return bool(self.to_many)


def resolve(model: type[Model], dotted: str) -> Path:
    """Follow a path through the fields of `model`.

    It has no lookup if a part is not a field, or is a generic foreign key, which the ORM cannot
    join.
    """
    steps: list[str] = []
    names: list[str] = []
    fetched: list[str] = []
    owner: Any = model
    field: Any = None
    single = multiple = ""
    for part in dotted.split("."):
        field = find(owner, part) if owner is not None else None
        if field is None or (field.is_relation and field.related_model is None):
            field = None
            break
        steps.append(field.name)
        names.append(field.name if part == "pk" else part)
        if field.is_relation:
            if multiple or field.many_to_many or field.one_to_many:
                multiple = multiple or "__".join([*steps[:-1], part])
                if _can_prefetch(owner, names[-1]):
                    fetched.append("__".join(names))
            else:
                single = "__".join(steps)
        owner = field.related_model if field.is_relation else None
    return Path(
        dotted=dotted,
        lookup=None if field is None else "__".join(steps),
        field=field,
        to_one=single,
        to_many=multiple,
        prefetch=tuple(fetched),
    )


def _can_prefetch(model: type[Model], name: str) -> bool:
    """Return whether `prefetch_related` can follow a relation; managers of libraries may not."""
    descriptor = getattr(model, name, None)
    manager = getattr(descriptor, "related_manager_cls", None)
    return any(hasattr(place, "get_prefetch_querysets") for place in (descriptor, manager))


def takes_queryset(field: Any) -> bool:
    """Return whether `Prefetch` can be given a queryset for the relation, as for Django's own."""
    return isinstance(field, ForeignObject | ManyToManyField | ForeignObjectRel)


def find(model: type[Model], part: str) -> Any:
    """Return the field called `part`, or the reverse relation with that name or accessor."""
    if part == "pk":
        return model._meta.pk
    for field in model._meta.get_fields():
        accessor = getattr(field, "get_accessor_name", None)
        if part in (field.name, accessor() if accessor else None):
            return field
    return None


def read(instance: object, dotted: str) -> Iterator[Any]:
    """Yield every value at the end of the path; nothing if a link on the way is empty.

    Managers are followed to all their rows and collections to their elements, methods are called
    without arguments unless they change data, and a part may be the key of a dict.
    """
    head, _, rest = dotted.partition(".")
    value = _get(instance, head)
    if isinstance(value, _SINGLE) and not rest:
        yield value
        return
    for item in elements(value):
        if rest:
            yield from read(item, rest)
        else:
            yield item


def _get(instance: object, name: str) -> Any:
    if not isinstance(instance, Model) and isinstance(instance, Mapping):
        return instance.get(name)
    if isinstance(instance, _PLAIN) and not hasattr(instance, name):
        return None  # in this row's JSON there is no object here
    try:
        value = getattr(instance, name)
    except ObjectDoesNotExist:
        return None
    if callable(value) and not isinstance(value, type | Manager):
        return None if changes_data(value) else value()
    return value


def changes_data(method: object) -> bool:
    """Return whether Django marks a method as one that templates must not call, as `delete`."""
    return bool(getattr(method, "alters_data", False))


def elements(value: Any) -> Iterator[Any]:
    """Yield the elements of a collection, and of those in it, or else the value; None is none."""
    if isinstance(value, _SINGLE):
        yield value
        return
    if isinstance(value, Manager):
        value = value.all()
    if isinstance(value, _COLLECTIONS):
        for item in value:
            yield from elements(item)
    elif value is not None:
        yield value
