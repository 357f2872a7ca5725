"""Reading a model's reply, trusting nothing in it: parse, validate, repair, count."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from mmsearch_app.rerankers.forms import HIGHEST

__all__ = ["Reading", "clean", "read_grades", "read_ranking"]

READ = 20_000
"""Characters of a reply that are looked at."""
SHOWN = 280
"""Characters of a reason or caption that are kept."""
ATTEMPTS = 64
"""Places at which an object is looked for."""

Pairs: TypeAlias = list[tuple[str, Any]]

_RANKING_KEYS = ("ranking", "rankedlist", "order", "list", "ranked")
_REASON_KEYS = ("reason", "reasons", "explanation", "why")
_REASON_OPEN = re.compile(r'"reasons?"\s*:\s*"((?:[^"\\]|\\.)*)', re.I)
_REASON_PROSE = re.compile(
    r"\b(?:reasons?|explanation)\b[*_`]{0,4}\s{0,3}[:=-][*_`]{0,4}\s{0,3}(.+)", re.I | re.S
)
_LIST = re.compile(r"\[([^\[\]]*)")
_NAME = r"(?:candidate|item|product|picture|image|option|number|no\.?|#)?\s{0,2}"
_GRADE = re.compile(
    rf"(?<!\w){_NAME}[\"'`*(\[]{{0,4}}([A-Z]|\d{{1,2}})[\"'`*)\]]{{0,4}}\s{{0,3}}"
    r"(?::|=|->|→|–|-)\s{0,3}[\"'`*]{0,4}"
    r"([+-]?\d{1,6}(?:[.,]\d{1,6})?)(?![\d])",
    re.I,
)
_NUMBER = re.compile(r"\s*([+-]?\d{1,6}(?:[.,]\d{1,6})?)\s*(?:/\s*10)?\s*")
_BULLET = re.compile(r"^\s{0,3}\d{1,2}[.)]\s{1,3}(?=\S)", re.M)
_ID = re.compile(rf"(?<!\w){_NAME}([A-Z]|\d{{1,3}})(?!\w)", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reply says about n candidates, made complete."""

    order: tuple[int, ...]
    """A permutation of range(n), best first."""
    grades: tuple[float, ...] | None = None
    """0 to 10 by candidate; 0 where the reply has none."""
    reason: str = ""
    repairs: int = 0
    """Ids dropped, repeated or missing, grades out of range, and 1 for another notation."""


def clean(words: str, *, limit: int = SHOWN) -> str:
    """Plain words on one line, without control and direction characters, at most `limit`."""
    kept = "".join(" " if c.isspace() else c for c in words[: 8 * limit])
    kept = "".join(c for c in kept if unicodedata.category(c)[0] != "C")
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: limit - 1].rstrip() + "…"


def read_ranking(reply: str, labels: str) -> Reading:
    """An order from a reply that should be `{"ranking": ["B", …], "reason": "…"}`.

    Unknown ids are dropped, the first of duplicates wins, missing ones follow in the order of
    the index. Never raises.
    """
    text = _normalise(reply)
    pairs = _find_object(text, lambda pairs: _listed(pairs) is not None)
    named = _listed(pairs) or _listed_in_prose(text)
    places, strange = _places(named, labels)
    order = tuple(dict.fromkeys(place for place in places if place is not None))
    missing = [place for place in range(len(labels)) if place not in set(order)]
    repairs = len(named) - len(order) + len(missing) + strange
    return Reading(order=(*order, *missing), reason=_reason(pairs, text), repairs=repairs)


def read_grades(reply: str, labels: str) -> Reading:
    """Grades from a reply that should be `{"A": 7, …, "reason": "…"}`, and the order they make.

    Ties stand in the order of the index, candidates without a grade after all others.
    Never raises.
    """
    text = _normalise(reply)
    pairs = _find_object(text, lambda pairs: bool(_graded(pairs, labels)))
    given = [(k, v) for k, v in _flatten(pairs) if k.lower() not in _REASON_KEYS]
    if not _graded(given, labels):
        given = [(found[1], found[2]) for found in _GRADE.finditer(text)]
    places, strange = _places([key for key, _ in given], labels)
    grades: dict[int, float] = {}
    repairs = strange
    for place, (_, value) in zip(places, given, strict=True):
        grade = _number(value)
        if place is None or place in grades or grade is None:
            repairs += 1
            continue
        grades[place] = min(max(grade, 0.0), float(HIGHEST))
        repairs += grade != grades[place]
    repairs += len(labels) - len(grades)
    order = sorted(range(len(labels)), key=lambda p: (p not in grades, -grades.get(p, 0.0), p))
    complete = tuple(grades.get(place, 0.0) for place in range(len(labels)))
    reason = _reason(pairs, text)
    return Reading(order=tuple(order), grades=complete, reason=reason, repairs=repairs)


def _normalise(reply: str) -> str:
    return unicodedata.normalize("NFKC", reply[:READ])


def _find_object(text: str, fits: Any) -> Pairs:
    """The key-value pairs, repeated keys included, of the first object that fits."""
    decoder = json.JSONDecoder(object_pairs_hook=list)
    for place in _places_of(text, "{"):
        try:
            found, _ = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, list) and fits(found):
            return found
    return []


def _places_of(text: str, mark: str) -> Iterator[int]:
    place = -1
    for _ in range(ATTEMPTS):
        place = text.find(mark, place + 1)
        if place < 0:
            return
        yield place


def _flatten(pairs: Pairs) -> Pairs:
    """With the pairs of an inner object in place of it: `{"grades": {"A": 7}}`."""
    flat: Pairs = []
    for key, value in pairs:
        flat += value if _is_pairs(value) and value else [(key, value)]
    return flat


def _is_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(pair, tuple) for pair in value)


def _graded(pairs: Pairs, labels: str) -> Pairs:
    keys = {*labels, *labels.lower(), *map(str, range(len(labels) + 1))}
    return [pair for pair in _flatten(pairs) if pair[0].strip() in keys]


def _listed(pairs: Pairs) -> list[str] | None:
    """What the list of ids in an object names."""
    for key, value in pairs:
        if re.sub(r"\W|_", "", key.lower()) in _RANKING_KEYS and isinstance(value, list):
            return [str(item) for item in value if not isinstance(item, tuple)]
    return None


def _listed_in_prose(text: str) -> list[str]:
    """Ids of the bracket with the most of them; without a bracket those of the first lines."""
    brackets = [_ID.findall(inner) for inner in _LIST.findall(text)[:ATTEMPTS]]
    best = max(brackets, key=len, default=[])
    if best:
        return [str(name) for name in best]
    head = _BULLET.sub("", _REASON_PROSE.split(text)[0])
    return [name for name in _ID.findall(head) if name.isupper() or name.isdecimal()]


def _places(names: Iterable[str], labels: str) -> tuple[list[int | None], int]:
    """Where each name stands in the index, None for unknown ones; 1 if they were numbers."""
    found = [_ID.fullmatch(name.strip().strip("\"'`*()[].")) for name in names]
    ids = [match[1].upper() if match else "" for match in found]
    numbers = [int(name) for name in ids if name.isdecimal()]
    first = 0 if 0 in numbers and len(labels) not in numbers else 1
    known = {label: place for place, label in enumerate(labels)}
    numbered = {place + first: place for place in range(len(labels))}
    places = [numbered.get(int(i)) if i.isdecimal() else known.get(i) for i in ids]
    return places, int(bool(numbers))


def _number(value: Any) -> float | None:
    if isinstance(value, str) and (match := _NUMBER.fullmatch(value)):
        return float(match[1].replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(min(max(value, -1), HIGHEST + 1))


def _reason(pairs: Pairs, text: str) -> str:
    for key, value in pairs:
        if key.lower() in _REASON_KEYS and isinstance(value, str):
            return clean(value)
    if pairs and "{" in text:
        return ""
    for pattern in (_REASON_OPEN, _REASON_PROSE):
        if found := pattern.search(text):
            return clean(found[1].replace('\\"', '"').strip('"} \n`'))
    return ""
