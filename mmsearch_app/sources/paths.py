"""Dotted paths such as `product.categories.slug`: read their values, turn them into lookups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Manager, Model

__all__ = ["Path", "find", "read", "resolve"]


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
    """The leading part that `prefetch_related` must follow, or ""."""

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
    owner: Any = model
    field: Any = None
    single = multiple = ""
    for part in dotted.split("."):
        field = find(owner, part) if owner is not None else None
        if field is None or (field.is_relation and field.related_model is None):
            return Path(dotted=dotted, lookup=None, field=None, to_one=single, to_many=multiple)
        steps.append(field.name)
        if field.is_relation and not multiple:
            if field.many_to_many or field.one_to_many:
                multiple = "__".join([*steps[:-1], part])
            else:
                single = "__".join(steps)
        owner = field.related_model if field.is_relation else None
    lookup = "__".join(steps)
    return Path(dotted=dotted, lookup=lookup, field=field, to_one=single, to_many=multiple)


def find(model: type[Model], part: str) -> Any:
    """Return the field called `part`, or the reverse relation with that name or accessor."""
    for field in model._meta.get_fields():
        accessor = getattr(field, "get_accessor_name", None)
        if part in (field.name, accessor() if accessor else None):
            return field
    return None


def read(instance: object, dotted: str) -> Iterator[Any]:
    """Yield every value at the end of the path; nothing if a link on the way is empty.

    Managers are followed to all their rows, methods are called without arguments.
    """
    head, _, rest = dotted.partition(".")
    try:
        value = getattr(instance, head)
    except ObjectDoesNotExist:
        return
    if isinstance(value, Manager):
        found = list(value.all())
    else:
        found = [value() if callable(value) and not isinstance(value, type) else value]
    for item in found:
        if item is None:
            continue
        if rest:
            yield from read(item, rest)
        else:
            yield item
