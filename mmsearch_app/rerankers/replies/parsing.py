"""Reading a model's reply, trusting nothing in it: parse, validate, repair, count."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmsearch_app.rerankers.fusion import order_by
from mmsearch_app.rerankers.replies.grades import REASON_KEYS, GivenGrade, count_grades, list_grades
from mmsearch_app.rerankers.replies.notation import (
    ID,
    NAME,
    KeyValues,
    find_json,
    find_places,
    is_pairs,
    normalise_text,
    read_number,
)
from mmsearch_app.rerankers.replies.schemas import HIGHEST

__all__ = ["ParsedReply", "clean", "read_grades", "read_ranking"]

SHOWN = 280
"""Characters of a reason or caption that are kept."""
BRACKETS = 64
"""How many brackets in prose are looked at."""

_RANKING_KEYS = ("ranking", "rankedlist", "order", "list", "ranked")
_REASON_OPEN = re.compile(r'"reasons?"\s*:\s*"((?:[^"\\]|\\.)*)', re.I)
_REASON_PROSE = re.compile(
    r"\b(?:reasons?|explanation)\b[*_`]{0,4}\s{0,3}[:=-][*_`]{0,4}\s{0,3}(.+)", re.I | re.S
)
_LIST = re.compile(r"\[([^\[\]]*)")
_GRADE = re.compile(
    rf"(?<!\w){NAME}[\"'`*(\[]{{0,4}}([A-Z]|\d{{1,2}})[\"'`*)\]]{{0,4}}\s{{0,3}}"
    r"(?::|=|->|→|–|-)\s{0,3}[\"'`*]{0,4}"
    r"([+-]?\d{1,6}(?:[.,]\d{1,6})?(?:\s?%)?)(?![\d])",
    re.I,
)
_BULLET = re.compile(r"^\s{0,3}\d{1,2}[.)]\s{1,3}(?=\S)", re.M)
_OF_LABELS = (
    "is|was|has|fits|matches|comes|seems|looks|wins|and|or|then|over|before|after|followed|because"
)
_WORD = re.compile(
    rf"\bI(?='|\u2019|\s+(?!(?:{_OF_LABELS})\b)[a-z])"
    rf"|\bA(?=\s+(?!(?:{_OF_LABELS}|would|should|could|can|must|will)\b)[a-z])"
)
"""Pronoun and article of English prose, by what follows them: "I would", "A red mug"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedReply:
    """What a reply says about n candidates, made complete."""

    order: tuple[int, ...]
    """A permutation of range(n), best first."""
    grades: tuple[float | None, ...] | None = None
    """0 to 10 by candidate; None where the reply has none."""
    reason: str = ""
    repairs: int = 0
    """Ids dropped, repeated or missing, grades out of range, and 1 for another notation: prose,
    JSON that was cut, numbers for ids."""


def clean(words: str, *, limit: int = SHOWN) -> str:
    """Plain words on one line, without control and direction characters, at most `limit`."""
    kept = "".join(" " if c.isspace() else c for c in words[: 8 * limit])
    kept = "".join(c for c in kept if unicodedata.category(c)[0] != "C")
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: limit - 1].rstrip() + "…"


def read_ranking(reply: str, labels: str) -> ParsedReply:
    """An order from a reply that should be `{"ranking": ["B", …], "reason": "…"}`.

    Unknown ids are dropped, the first of duplicates wins, missing ones follow in the order of
    the index. Never raises.
    """
    text = normalise_text(reply)
    pairs: KeyValues = find_json(text, _count_listed, marks="{") or []
    listed = _listed(pairs)
    named = listed or _listed_in_prose(text)
    places, numbered = find_places(named, labels)
    order = tuple(dict.fromkeys(place for place in places if place is not None))
    missing = [place for place in range(len(labels)) if place not in set(order)]
    odd = numbered or bool(named and not listed)
    repairs = len(named) - len(order) + len(missing) + odd
    return ParsedReply(order=(*order, *missing), reason=_reason(pairs, text), repairs=repairs)


def read_grades(reply: str, labels: str) -> ParsedReply:
    """Grades from a reply that should be `{"A": 7, …, "reason": "…"}`, and the order they make.

    Ties stand in the order of the index, candidates without a grade after all others.
    Never raises.
    """
    text = normalise_text(reply)
    found = find_json(text, lambda value: count_grades(value, labels))
    entries = list_grades(found, labels)
    in_prose = [GivenGrade(name=m[1], value=m[2]) for m in _GRADE.finditer(text) if not entries]
    given = entries or in_prose
    places, numbered = find_places([entry.name for entry in given], labels)
    grades, reasons, repairs = _settle(places, given)
    repairs += len(labels) - len(grades) + (numbered or bool(in_prose))
    complete = tuple(grades.get(place) for place in range(len(labels)))
    order = order_by(complete)
    reason = _reason(found, text) or clean(reasons.get(order[0], "") if order else "")
    return ParsedReply(order=order, grades=complete, reason=reason, repairs=repairs)


def _settle(
    places: Sequence[int | None], given: Sequence[GivenGrade]
) -> tuple[dict[int, float], dict[int, str], int]:
    """Grades from 0 to 10 and reasons by place, and how many repairs that took."""
    grades: dict[int, float] = {}
    reasons: dict[int, str] = {}
    repairs = 0
    for place, entry in zip(places, given, strict=True):
        grade = read_number(entry.value)
        if place is None or place in grades or grade is None:
            repairs += 1
            continue
        grades[place] = min(max(grade, 0.0), float(HIGHEST))
        reasons[place] = entry.reason
        repairs += grade != grades[place]
    return grades, reasons, repairs


def _listed(pairs: KeyValues) -> list[str] | None:
    """What the list of ids in an object names; None where it has no such list."""
    for key, value in pairs:
        if re.sub(r"\W|_", "", key.lower()) in _RANKING_KEYS and isinstance(value, list):
            return [str(item) for item in value if not isinstance(item, tuple)]
    return None


def _count_listed(found: Any) -> int:
    """More for a longer list, and something for an empty one."""
    listed = _listed(found) if is_pairs(found) else None
    return 0 if listed is None else 1 + len(listed)


def _listed_in_prose(text: str) -> list[str]:
    """Ids of the bracket with the most of them; without a bracket those of the first lines."""
    brackets = [ID.findall(inner) for inner in _LIST.findall(text)[:BRACKETS]]
    best = max(brackets, key=len, default=[])
    if best:
        return [str(name) for name in best]
    head = _WORD.sub("", _BULLET.sub("", _REASON_PROSE.split(text)[0]))
    return [name for name in ID.findall(head) if name.isupper() or name.isdecimal()]


def _reason(found: Any, text: str) -> str:
    for key, value in found if is_pairs(found) else ():
        if key.lower() in REASON_KEYS and isinstance(value, str):
            return clean(value)
    if found:
        return ""
    for pattern in (_REASON_OPEN, _REASON_PROSE):
        if match := pattern.search(text):
            return clean(match[1].replace('\\"', '"').strip('"} \n`'))
    return ""
