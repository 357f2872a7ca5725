"""Filters of a query: checked against the sources, for the index and for the shop's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet

from mmsearch_app.documents import scalar
from mmsearch_app.indexes.base import Condition, Operator
from mmsearch_app.paths import Path
from mmsearch_app.query import InvalidQuery
from mmsearch_app.sources import ImageSource, registry

__all__ = ["FilterSpec", "Wish", "parse", "specs"]

Kind: TypeAlias = Literal["number", "boolean", "date", "relation", "text"]
Filters: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSpec:
    """What a form or a schema needs to know about a filter."""

    name: str
    kind: Kind
    many: bool
    """Whether one product can have several values."""
    field: Any = None
    """The model field behind it, or None for a property."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One checked filter: any of `values`, or a comparison with the only one."""

    name: str
    operator: Operator
    values: tuple[Any, ...]
    """Python values as the model's field wants them."""

    def condition(self) -> Condition:
        """The same for the index."""
        return Condition(
            name=self.name, operator=self.operator, values=tuple(map(scalar, self.values))
        )

    def narrow(self, source: ImageSource, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The same for the shop's database; rows as they are where SQL cannot tell."""
        path = source.paths.get(self.name)
        if path is None:
            return rows.none()
        if path.lookup is None:
            return rows
        value = self.values if self.operator == "in" else self.values[0]
        rows = rows.filter(**{f"{path.lookup}__{self.operator}": value})
        return rows.distinct() if path.many else rows


def specs() -> dict[str, FilterSpec]:
    """All filters of all sources, by name."""
    found: dict[str, FilterSpec] = {}
    for source in registry:
        for name in source.filters:
            path = source.paths[name]
            spec = FilterSpec(name=name, kind=_kind(path), many=path.many, field=path.field)
            found.setdefault(name, spec)
    return found


def _kind(path: Path) -> Kind:
    field: Any = path.field
    if field is None:
        return "text"
    if field.is_relation:
        return "relation"
    if isinstance(field, models.BooleanField):
        return "boolean"
    if isinstance(field, models.DateField):
        return "date"
    numbers = (models.IntegerField, models.FloatField, models.DecimalField)
    return "number" if isinstance(field, numbers) else "text"


def parse(filters: Filters) -> list[Wish]:
    """Check names and values. Raises InvalidQuery with the right names or the right form."""
    return [_wish(name, value) for name, value in filters.items() if value not in (None, "", [])]


def _wish(key: str, value: Any) -> Wish:
    name, _, suffix = key.rpartition("__")
    operator: Any = suffix
    if suffix not in get_args(Operator) or not name:
        name, operator = key, "in"
    spec = specs().get(name)
    if spec is None:
        right = ", ".join(sorted(specs())) or "none"
        msg = f"There is no filter {name!r}; there are: {right}."
        raise InvalidQuery(msg, field=key)
    several = isinstance(value, Sequence | set | frozenset | QuerySet) and not isinstance(
        value, str
    )
    values = tuple(_clean(spec, key, one) for one in (value if several else [value]))
    if operator != "in" and (len(values) != 1 or spec.kind not in ("number", "date")):
        msg = f"The filter {key!r} takes one number or date."
        raise InvalidQuery(msg, field=key)
    return Wish(name=name, operator=operator, values=values)


def _clean(spec: FilterSpec, key: str, value: Any) -> Any:
    field = spec.field
    if field is None:
        return value
    if isinstance(value, models.Model):
        value = value.pk
    while field.is_relation:
        field = field.target_field
    try:
        cleaned = field.to_python(value)
    except (ValidationError, TypeError, ValueError, OverflowError) as error:
        msg = f"{value!r} does not fit the filter {key!r}, a {spec.kind}."
        raise InvalidQuery(msg, field=key) from error
    if cleaned is None or not _finite(cleaned):
        msg = f"{value!r} does not fit the filter {key!r}, a {spec.kind}."
        raise InvalidQuery(msg, field=key)
    return cleaned


def _finite(value: Any) -> bool:
    """Whether it is no number, or one that the database and the index can hold."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    try:
        return abs(float(value)) < 1e300 if not isinstance(value, str) else "\0" not in value
    except (TypeError, ValueError, OverflowError):
        return True
