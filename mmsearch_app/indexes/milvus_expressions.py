"""Filter expressions of Milvus, out of plain data and with every text escaped.

Filter templates would need a newer server than the oldest supported, so texts are quoted
here. Two grammars read them: ANTLR's on a server, a hand-written one in Milvus Lite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mmsearch_app.indexes.facets import bound, name_of, text_of

if TYPE_CHECKING:
    from mmsearch_app.indexes.base import Condition

__all__ = ["one_of", "quote", "select"]

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
COMPARISONS = {
    "gt": ("most", ">"),
    "gte": ("most", ">="),
    "lt": ("least", "<"),
    "lte": ("least", "<="),
}


def quote(text: str) -> str:
    return f'"{text.translate(ESCAPES)}"'


def one_of(column: str, texts: Iterable[str]) -> str:
    return f"{column} in {_listed(texts)}"


def select(conditions: Sequence[Condition], *, without: Iterable[str] = ()) -> str:
    """What fulfils all conditions and shows none of the products `without`; "" for all.

    Raises ValueError for a condition that has no meaning.
    """
    parts = [_condition(condition) for condition in conditions]
    if excluded := list(without):
        parts.append(f"product not in {_listed(excluded)}")
    return " and ".join(parts)


def _condition(condition: Condition) -> str:
    name = quote(name_of(condition.name))
    if condition.operator == "in":
        if not condition.values:
            return one_of("id", ())
        texts = _listed(text_of(value) for value in condition.values)
        return f'json_contains_any(filters["texts"][{name}], {texts})'
    side, sign = COMPARISONS[condition.operator]
    return f'filters["{side}"][{name}] {sign} {bound(condition)!r}'


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quote, texts))}]"
