"""Grades in JSON, in all the shapes in which models write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmsearch_app.rerankers.replies.notation import find_places, is_pairs, read_number

__all__ = ["REASON_KEYS", "GivenGrade", "count_grades", "list_grades"]

REASON_KEYS = ("reason", "reasons", "explanation", "why")
_NAME_KEYS = ("id", "label", "letter", "candidate", "name", "item", "option")
_GRADE_KEYS = ("grade", "score", "rating", "value", "points")
DEPTH = 3
"""How far inside an object or list its grades are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenGrade:
    """What is said of one candidate; neither part is checked."""

    name: str
    value: Any
    reason: str = ""


def list_grades(found: Any, labels: str) -> list[GivenGrade]:
    """All entries of an object or a list of `notation.find_json`, such as

    {"A": 7, …}, {"A": {"grade": 7, "reason": "…"}, …}, {"grades": {"A": 7, …}},
    {"grades": [7, …]}, [7, …], [{"id": "A", "grade": 7}, …] and [{"A": 7}, …].

    A list of numbers has one for each label; where it stands alone and the numbers are those of
    an order, nobody knows what it is, and it is left alone.
    """
    if not is_pairs(found) and _is_order(found, len(labels)):
        return []
    return list(_walk(found, labels, DEPTH))


def count_grades(found: Any, labels: str) -> int:
    """How many of the candidates have an entry."""
    places, _ = find_places([entry.name for entry in list_grades(found, labels)], labels)
    return len({place for place in places if place is not None})


def _walk(found: Any, labels: str, depth: int) -> Iterator[GivenGrade]:
    if not isinstance(found, list) or depth == 0:
        return
    if is_pairs(found):
        for key, value in found:
            yield from _read_pair(key, value, labels, depth)
    elif len(found) == len(labels) and all(read_number(value) is not None for value in found):
        for label, value in zip(labels, found, strict=True):
            yield GivenGrade(name=label, value=value)
    else:
        for item in found:
            yield from _read_item(item, labels, depth)


def _read_pair(key: str, value: Any, labels: str, depth: int) -> Iterator[GivenGrade]:
    if key.lower() in REASON_KEYS:
        return
    named = find_places([key], labels)[0][0] is not None
    if named and value and is_pairs(value):
        yield _read_inside(key, value)
    elif not named and value and isinstance(value, list):
        yield from _walk(value, labels, depth - 1)
    else:
        yield GivenGrade(name=key, value=value)


def _read_item(item: Any, labels: str, depth: int) -> Iterator[GivenGrade]:
    if item and is_pairs(item):
        name = _look_up(item, _NAME_KEYS)
        if name is None:
            yield from _walk(item, labels, depth - 1)
        else:
            yield _read_inside(str(name), item)


def _read_inside(name: str, pairs: Sequence[tuple[str, Any]]) -> GivenGrade:
    """The grade by its key, else the only number that there is."""
    value, reason = _look_up(pairs, _GRADE_KEYS), _look_up(pairs, REASON_KEYS)
    if value is None:
        numbers = [value for _, value in pairs if read_number(value) is not None]
        value = numbers[0] if len(numbers) == 1 else None
    return GivenGrade(name=name, value=value, reason=reason if isinstance(reason, str) else "")


def _look_up(pairs: Sequence[tuple[str, Any]], keys: Sequence[str]) -> Any:
    return next((value for key, value in pairs if key.lower() in keys), None)


def _is_order(found: Any, count: int) -> bool:
    orders = [list(range(count)), list(range(1, count + 1))]
    numbers = [read_number(value) for value in found] if isinstance(found, list) else []
    return None not in numbers and sorted(n for n in numbers if n is not None) in orders
