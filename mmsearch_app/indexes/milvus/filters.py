"""Filters in Milvus: the columns that store them, and the expressions that query them.

A server stores filters as JSON. Milvus Lite evaluates a JSON path row by row and first turns the
whole row, vector included, into Python objects: 20 to 60 µs per image for 64 to 859 dimensions.
So for Lite they are flat, in a form that it evaluates column by column (0 to 3 µs, up to 7 for a
number): a text of hashed terms for equality, and dynamic fields for numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmsearch_app.indexes.records import bound, name_of, text_of

if TYPE_CHECKING:
    from mmsearch_app.indexes.base import Condition
    from mmsearch_app.indexes.records import Facets


ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def quote(text: str) -> str:
    return f'"{text.translate(ESCAPES)}"'


def one_of(column: str, texts: Iterable[str]) -> str:
    return f"{column} in {listed(texts)}"


def none_of(column: str, texts: Iterable[str]) -> str:
    return f"{column} not in {listed(texts)}"


def listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quote, texts))}]"


TERMS = "terms"
MAX_TERMS = 1 << 20
"""Characters of a record's terms: more than its filters can have."""
COMPARISONS = {
    "gt": ("most", ">"),
    "gte": ("most", ">="),
    "lt": ("least", "<"),
    "lte": ("least", "<="),
}


def is_flat(described: Mapping[str, Any]) -> bool:
    """Return whether a collection, as `describe_collection` describes it, has flat filters."""
    return any(column["name"] == TERMS for column in described["fields"])


def add_columns(schema: Any, *, flat: bool) -> None:
    from pymilvus import DataType

    if flat:
        schema.add_field(TERMS, DataType.VARCHAR, max_length=MAX_TERMS)
        schema.enable_dynamic_field = True
    else:
        schema.add_field("filters", DataType.JSON)


def make_columns(facets: Facets, *, flat: bool) -> dict[str, Any]:
    if not flat:
        return {"filters": facets}
    terms = [_term(name, text) for name, texts in facets["texts"].items() for text in texts]
    bounds = {"least": facets["least"], "most": facets["most"]}
    numbers = {
        f"{side}:{name}": n for side, by_name in bounds.items() for name, n in by_name.items()
    }
    return {TERMS: " ".join(terms), **numbers}


def select(
    conditions: Sequence[Condition],
    *,
    flat: bool,
    without: Iterable[str] = (),
    without_ids: Iterable[str] = (),
) -> str:
    """Return the filter expression, or "" if nothing is filtered.

    `without` excludes products, `without_ids` single images. Raises ValueError for a condition
    whose values do not fit its operator.
    """
    parts = [_condition(condition, flat=flat) for condition in conditions]
    for column, excluded in (("product", [*without]), ("id", [*without_ids])):
        if excluded:
            parts.append(none_of(column, excluded))
    return " and ".join(parts)


def _condition(condition: Condition, *, flat: bool) -> str:
    name = name_of(condition.name)
    if condition.operator != "in":
        side, sign = COMPARISONS[condition.operator]
        key = f"$meta[{quote(f'{side}:{name}')}]" if flat else f'filters["{side}"][{quote(name)}]'
        return f"{key} {sign} {bound(condition)!r}"
    if not condition.values:
        return one_of("id", ())
    texts = [text_of(value) for value in condition.values]
    if not flat:
        return f'json_contains_any(filters["texts"][{quote(name)}], {listed(texts)})'
    found = " or ".join(f'{TERMS} like "%{_term(name, text)}%"' for text in texts)
    return f"({found})"


def _term(name: str, text: str) -> str:
    """Return 16 hexadecimal digits, without characters that LIKE treats specially."""
    # The name is percent-encoded: it contains no "=".
    return hashlib.blake2b(f"{name}={text}".encode(), digest_size=8).hexdigest()
