"""Filters of a query: checked against the sources, for the index and for the shop's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Context, Decimal
from typing import Any, Literal, TypeAlias, get_args

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from mmsearch_app.indexes import Condition, Operator
from mmsearch_app.searching.query import InvalidQuery
from mmsearch_app.sources import ImageSource, Path, registry, scalar

__all__ = ["MAX_VALUES", "MAX_VALUE_LENGTH", "FilterSpec", "FilterValue", "parse", "specs"]

MAX_VALUES = 100
"""Filter values that one question by page or API may hold."""
_SAID = 50
"""Characters of a wrong value that are repeated to the visitor."""
MAX_VALUE_LENGTH = 255

Kind: TypeAlias = Literal["number", "boolean", "date", "relation", "text"]
_KINDS = {
    "number": gettext_lazy("a number"),
    "boolean": gettext_lazy("yes or no"),
    "date": gettext_lazy("a date"),
    "relation": gettext_lazy("one of its choices"),
    "text": gettext_lazy("a text"),
}
_BOOLEANS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


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
class FilterValue:
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


def parse(filters: Mapping[str, Any]) -> list[FilterValue]:
    """Check names and values. Raises InvalidQuery with the right names or the right form."""
    return [_wish(name, value) for name, value in filters.items() if not _is_unset(value)]


def _is_unset(value: Any) -> bool:
    """Whether a form left it empty; an empty queryset is a wish that nothing fulfils."""
    return value is None or (isinstance(value, str | list | tuple | set) and not value)


def _wish(key: str, value: Any) -> FilterValue:
    name, _, suffix = key.rpartition("__")
    operator: Any = suffix
    if suffix not in get_args(Operator) or not name:
        name, operator = key, "in"
    spec = specs().get(name)
    if spec is None:
        right = ", ".join(sorted(specs())) or gettext("none")
        msg = gettext("There is no filter %(name)r; there are: %(names)s.")
        raise InvalidQuery(msg % {"name": name, "names": right}, field=key)
    several = isinstance(value, Sequence | set | frozenset | QuerySet) and not isinstance(
        value, str
    )
    given = value if several else [value]
    values = tuple(_clean(spec, key, one, cap=operator != "in") for one in given)
    if operator != "in" and (len(values) != 1 or spec.kind not in ("number", "date")):
        msg = gettext("The filter %(name)r takes one number or date.") % {"name": key}
        raise InvalidQuery(msg, field=key)
    return FilterValue(name=name, operator=operator, values=values)


def _clean(spec: FilterSpec, key: str, value: Any, *, cap: bool) -> Any:
    if isinstance(value, models.Model):
        value = value.pk
    try:
        cleaned = _to_python(spec.field, value, cap=cap)
    except (ValidationError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        msg = gettext("The filter %(name)s takes %(kind)s; “%(value)s” does not fit.")
        msg %= {"value": str(value)[:_SAID], "name": spec.name, "kind": _KINDS[spec.kind]}
        raise InvalidQuery(msg, field=key) from error
    return cleaned


def _to_python(field: Any, value: Any, *, cap: bool) -> Any:
    """The value as the field, the database and the index take it. Raises many things.

    With `cap`, a number beyond what the column can hold becomes the last one it can: as the
    end of a range it means the same.
    """
    while field is not None and field.is_relation:
        field = field.target_field
    if isinstance(field, models.BooleanField) and isinstance(value, str):
        value = _BOOLEANS[value.strip().lower()]
    if isinstance(field, models.DateTimeField) and isinstance(value, date):
        value = value if isinstance(value, datetime) else datetime.combine(value, time.min)
    cleaned = value if field is None else field.to_python(value)
    if isinstance(cleaned, datetime) and settings.USE_TZ and timezone.is_naive(cleaned):
        cleaned = timezone.make_aware(cleaned)
    if isinstance(cleaned, str):
        cleaned.encode()
    elif isinstance(cleaned, int | float | Decimal):
        bounded = -(2**63) <= cleaned < 2**63
        if not bounded:
            msg = "not finite, or too large for any column"
            raise ValueError(msg)
    if cleaned is None or "\0" in str(cleaned):
        msg = "nothing, or nothing that can be kept"
        raise ValueError(msg)
    return _fit(field, cleaned, cap=cap) if isinstance(field, models.DecimalField) else cleaned


def _fit(field: Any, number: Decimal, *, cap: bool) -> Decimal:
    places = Decimal(1).scaleb(-field.decimal_places)
    if cap:
        most = Decimal(1).scaleb(field.max_digits - field.decimal_places) - places
        number = min(max(number, -most), most)
    return number.quantize(places, context=Context(prec=field.max_digits))
