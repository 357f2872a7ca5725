"""What replies look like: one form a mode and number of candidates."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from mmsearch_app.rerankers.replies.grammar import (
    Choice,
    Grammar,
    Permutation,
    Segment,
    Text,
    exactly,
)
from mmsearch_app.rerankers.vlm import Form

__all__ = ["HIGHEST", "LABELS", "REASON_BYTES", "grades_form", "labels_for", "ranking_form"]

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
HIGHEST = 10
"""The best grade; 0 is the worst."""
REASON_BYTES = 280

_SPACE = Choice((b"", b" "))
_REASON: dict[str, Any] = {"type": "string", "maxLength": REASON_BYTES}


def labels_for(count: int) -> str:
    """The labels of so many candidates. Raises ValueError for more than 26."""
    if count > len(LABELS):
        msg = f"One prompt takes at most {len(LABELS)} candidates, not {count}."
        raise ValueError(msg)
    return LABELS[:count]


@lru_cache(maxsize=64)
def grades_form(count: int) -> Form:
    """`{"A": 7, "B": 0, "reason": "…"}`: a grade for every candidate, then a reason."""
    labels = labels_for(count)
    grades = tuple(str(grade).encode() for grade in range(HIGHEST + 1))
    segments: list[Segment] = [_SPACE]
    for place, label in enumerate(labels):
        segments += [exactly(f'{"," if place else "{"}{" " * bool(place)}"{label}": ')]
        segments += [Choice(grades)]
    segments += [exactly(', "reason": "'), Text(REASON_BYTES), exactly('"}')]
    grade = {"type": "integer", "enum": list(range(HIGHEST + 1))}
    properties = dict.fromkeys(labels, grade) | {"reason": _REASON}
    return Form(name="grades", schema=_object(properties), grammar=Grammar(segments))


@lru_cache(maxsize=64)
def ranking_form(count: int) -> Form:
    """`{"ranking": ["B", "A"], "reason": "…"}`: every label once, the best first."""
    labels = labels_for(count)
    segments: list[Segment] = [_SPACE, exactly('{"ranking": ['), Permutation(labels)]
    segments += [exactly('], "reason": "'), Text(REASON_BYTES), exactly('"}')]
    ranking = {
        "type": "array",
        "items": {"type": "string", "enum": list(labels)},
        "minItems": count,
        "maxItems": count,
    }
    schema = _object({"ranking": ranking, "reason": _REASON})
    return Form(name="ranking", schema=schema, grammar=Grammar(segments))


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
