"""Filter values in one form that every engine compares alike.

Engines disagree on values: Milvus Lite treats true as 1, a server treats 1 and 1.0 as different,
and both have their own rules for string literals. So equality is decided on the JSON text of a
value (ASCII, strict about types, 1 equals 1.0) and order on its numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import quote

if TYPE_CHECKING:
    from mmsearch_app.indexes.base import Condition, Scalar

__all__ = ["Facets", "bound", "make_facets", "matches", "name_of", "text_of"]

_MAX_BYTES = 65_536
"""Milvus' limit for one JSON value."""
MAX_EXACT = 2**53
"""Engines that compare doubles cannot distinguish larger whole numbers."""
SEVERAL = (list, tuple, set, frozenset)


class Facets(TypedDict):
    """The stored form of `Record.filters`. `least` and `most` contain numeric filters only."""

    texts: dict[str, list[str]]
    least: dict[str, float]
    most: dict[str, float]


def text_of(value: Scalar) -> str:
    """Return the JSON text of a value. Raises ValueError if it has none."""
    if isinstance(value, str | bool):
        return json.dumps(value)
    number = _number(value)
    whole = isinstance(value, float) and number.is_integer() and abs(number) <= MAX_EXACT
    return json.dumps(int(number) if whole else value)


def name_of(key: str) -> str:
    """Return the name under which a filter is stored: percent-encoded.

    Milvus 2.3 cuts a JSON path at every `][`, quoted or not. Raises ValueError for "".
    """
    if not key:
        msg = "A filter needs a name."
        raise ValueError(msg)
    return quote(key, safe="", errors="surrogatepass")


def bound(condition: Condition) -> float:
    """Return the number of a comparison. Raises ValueError if it has no number or several."""
    values = condition.values
    if len(values) != 1 or isinstance(values[0], str | bool):
        msg = f"{condition.name}__{condition.operator} takes exactly one number, not {values!r}."
        raise ValueError(msg)
    return _number(values[0])


def make_facets(filters: Mapping[str, Scalar | Sequence[Scalar]]) -> Facets:
    """Return the stored form. Raises ValueError for a value that cannot be filtered on."""
    facets = Facets(texts={}, least={}, most={})
    for key, given in filters.items():
        name = name_of(key)
        values: list[Any] = [*given] if isinstance(given, SEVERAL) else [given]
        facets["texts"][name] = sorted({text_of(value) for value in values})
        numbers = [_number(v) for v in values if not isinstance(v, str | bool)]
        if numbers:
            facets["least"][name] = min(numbers)
            facets["most"][name] = max(numbers)
    if (size := len(json.dumps(facets))) > _MAX_BYTES:
        msg = f"The filters of a record take {size} bytes; the limit is {_MAX_BYTES}."
        raise ValueError(msg)
    return facets


def matches(facets: Facets, condition: Condition) -> bool:
    """Return whether any of the record's values fulfils the condition."""
    name = name_of(condition.name)
    match condition.operator:
        case "in":
            wanted = {text_of(value) for value in condition.values}
            return not wanted.isdisjoint(facets["texts"].get(name, ()))
        case "gt":
            return facets["most"].get(name, -math.inf) > bound(condition)
        case "gte":
            return facets["most"].get(name, -math.inf) >= bound(condition)
        case "lt":
            return facets["least"].get(name, math.inf) < bound(condition)
        case "lte":
            return facets["least"].get(name, math.inf) <= bound(condition)


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(number := float(value)):
                return number
    msg = f"{value!r} cannot be filtered on; give a string, a finite number or a boolean."
    raise ValueError(msg)
