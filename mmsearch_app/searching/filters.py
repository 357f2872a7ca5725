"""Check a query's filters against the sources, and compare with them what rows say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from django.db.models import Model, QuerySet
from django.utils.translation import gettext, gettext_lazy

from mmsearch_app.indexes import Condition, Operator, Scalar
from mmsearch_app.searching.query import InvalidQuery
from mmsearch_app.sources import (
    UNFIT,
    FilterReader,
    FilterSpec,
    ImageSource,
    Span,
    ValueType,
    read_safely,
    registry,
    specs,
)

MAX_VALUES = 100
"""Filter values that one query by page or API may contain."""
MAX_VALUE_LENGTH = 255
_SHOWN_LENGTH = 50
"""Characters of a wrong value that the error message repeats."""
_KINDS = {
    "number": gettext_lazy("a number"),
    "boolean": gettext_lazy("yes or no"),
    "date": gettext_lazy("a date"),
    "relation": gettext_lazy("one of its choices"),
    "text": gettext_lazy("a text"),
}
_SEVERAL = (Sequence, set, frozenset, QuerySet)
_SINGLE = (str, bytes, bytearray, memoryview)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """What a value must be: in any of the spans, or beyond or within the only one."""

    type: ValueType
    operator: Operator
    spans: tuple[Span, ...]

    def accepts(self, value: Any) -> bool:
        match self.operator:
            case "in":
                return any(span.first <= value <= span.last for span in self.spans)
            case "gt":
                return bool(value > self.spans[0].last)
            case "gte":
                return bool(value >= self.spans[0].first)
            case "lt":
                return bool(value < self.spans[0].first)
            case "lte":
                return bool(value <= self.spans[0].last)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterValue:
    """All that a query asks of one filter."""

    name: str
    by_source: Mapping[str, Sequence[_Comparison]]
    """The comparisons by the name of each source whose values can pass them."""

    @property
    def impossible(self) -> bool:
        """Whether no value can pass, as after an empty queryset."""
        wanted = self.by_source.values()
        return not any(all(one.spans for one in comparisons) for comparisons in wanted)

    def conditions(self) -> list[Condition]:
        """Return conditions for the index which everything passes that `accepts` accepts."""
        return [self._condition(one) for one in zip(*self.by_source.values(), strict=True)]

    def _condition(self, alternatives: Sequence[_Comparison]) -> Condition:
        """Return the condition for one comparison, as the types of all sources see it."""
        operator = alternatives[0].operator
        values: list[Scalar]
        if operator == "in":
            values = [one.type.equal(span) for one in alternatives for span in one.spans]
            values = list(dict.fromkeys(values))
        else:
            limits = [one.type.limit(operator, one.spans[0]) for one in alternatives]
            loosest = min if operator in ("gt", "gte") else max
            loose = {found for found, _ in limits} - {operator}
            operator = loose.pop() if loose else operator
            values = [loosest(limit for _, limit in limits)]
        return Condition(name=self.name, operator=operator, values=tuple(values))

    def accepts(self, reader: FilterReader, row: Model) -> bool:
        """Return whether a row passes. All comparisons of a range must hold for the same value.

        A row whose values the shop's code cannot return does not.
        """
        comparisons = self.by_source.get(reader.source.name)
        if comparisons is None:
            return False
        read = partial(reader.values, row, self.name)
        values: list[Any] = read_safely(reader.source, f"filter {self.name!r}", read, [])
        bounds = [one for one in comparisons if one.operator != "in"]
        return any(all(one.accepts(value) for one in bounds) for value in values) and all(
            any(map(one.accepts, values)) for one in comparisons if one.operator == "in"
        )


def narrow(
    rows: Iterable[Model], source: ImageSource, filters: Sequence[FilterValue]
) -> list[Model]:
    """Return the rows, fetched with these filters, that pass all of them."""
    reader = FilterReader(source)
    if not all(source.name in wanted.by_source for wanted in filters):
        return []
    return [row for row in rows if all(wanted.accepts(reader, row) for wanted in filters)]


def parse(filters: Mapping[str, Any]) -> list[FilterValue]:
    """Check names and values. Raises InvalidQuery that lists the right names or the right type."""
    by_name: dict[str, list[tuple[str, Operator, tuple[Any, ...]]]] = defaultdict(list)
    for key, value in filters.items():
        if not _is_unset(value):
            name, operator = _split(key)
            several = isinstance(value, _SEVERAL) and not isinstance(value, _SINGLE)
            by_name[name].append((key, operator, tuple(value if several else [value])))
    return [_parse_one(name, wanted) for name, wanted in by_name.items()]


def _is_unset(value: Any) -> bool:
    """Whether the field was left empty. An empty queryset is not: no product matches it."""
    return value is None or (isinstance(value, str | list | tuple | set) and not value)


def _split(key: str) -> tuple[str, Operator]:
    """Return the name of the filter and the operator. Raises InvalidQuery for unknown names."""
    name, _, suffix = key.rpartition("__")
    operator: Any = suffix
    if suffix not in get_args(Operator) or not name:
        name, operator = key, "in"
    if name not in specs():
        right = ", ".join(sorted(specs())) or gettext("none")
        msg = gettext("There is no filter %(name)r; there are: %(names)s.")
        raise InvalidQuery(msg % {"name": name, "names": right}, field=key)
    return name, operator


def _parse_one(name: str, wanted: Sequence[tuple[str, Operator, tuple[Any, ...]]]) -> FilterValue:
    """Parse with the type of every source. Raises InvalidQuery if a value fits none of them."""
    by_source: dict[str, list[_Comparison]] = {}
    fault: InvalidQuery | None = None
    for source in registry:
        if (spec := source.filter_specs.get(name)) is None:
            continue
        try:
            by_source[source.name] = [_compare(spec, *one) for one in wanted]
        except InvalidQuery as error:
            fault = fault or error
    if fault is not None and not by_source:
        raise fault
    return FilterValue(name=name, by_source=by_source)


def _compare(
    spec: FilterSpec, key: str, operator: Operator, values: tuple[Any, ...]
) -> _Comparison:
    bound = operator != "in"
    spans = tuple(_span(spec, key, value, bound=bound) for value in values)
    if bound and (len(spans) != 1 or not spec.type.ordered):
        msg = gettext("The filter %(name)r takes one number or date.") % {"name": key}
        raise InvalidQuery(msg, field=key)
    return _Comparison(type=spec.type, operator=operator, spans=spans)


def _span(spec: FilterSpec, key: str, value: Any, *, bound: bool) -> Span:
    try:
        return spec.type.parse(value, bound=bound)
    except UNFIT as error:
        msg = gettext("The filter %(name)s takes %(kind)s; “%(value)s” does not fit.")
        msg %= {"value": _show(value), "name": spec.name, "kind": _KINDS[spec.kind]}
        raise InvalidQuery(msg, field=key) from error


def _show(value: Any) -> str:
    huge = isinstance(value, int) and value.bit_length() > _SHOWN_LENGTH * 8
    return "…" if huge else str(value)[:_SHOWN_LENGTH]
