"""Reading a model's reply, trusting nothing in it: parse, validate, repair, count."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmsearch_app.rerankers.fusion import order_by
from mmsearch_app.rerankers.replies.schemas import HIGHEST

SHOWN = 280
"""Characters of a reason or caption that are kept."""
READ = 20_000
"""Characters of a reply that are read."""
ATTEMPTS = 64
"""How many braces are tried as the beginning of an object, and brackets as that of a list."""
DEPTH = 3
"""How deep inside a JSON value grades are looked for."""

_NAME = r"(?:candidate|item|product|picture|image|option|number|no\.?|#)?\s{0,2}"
_ID = re.compile(rf"(?<!\w){_NAME}([A-Z]|\d{{1,3}})(?!\w)", re.I)
"""A candidate: its label or number, alone or as in "Candidate B"."""
_GRADE = re.compile(
    rf"(?<!\w){_NAME}[\"'`*(\[]{{0,4}}([A-Z]|\d{{1,2}})[\"'`*)\]]{{0,4}}\s{{0,3}}"
    r"(?::|=|->|→|–|-)\s{0,3}[\"'`*]{0,4}([+-]?\d{1,6}(?:[.,]\d{1,6})?)(?!\d)",
    re.I,
)
"""A candidate and its grade in prose, or in JSON that was cut: "**B**: 7"."""
_NUMBER = re.compile(r"\s*([+-]?\d{1,6}(?:[.,]\d{1,6})?)\s*(?:/\s*10|out of 10)?\s*")
_LIST = re.compile(r"\[([^\[\]]*)")
_BULLET = re.compile(r"^\s{0,3}\d{1,2}[.)]\s{1,3}(?=\S)", re.M)
_WORD = re.compile(r"\b[AI](?='|\u2019|\s+(?!(?:and|or|then|is|over)\b)[a-z])")
"""An article or pronoun that looks like a label: "A red mug", "I would"."""
_REASON_OPEN = re.compile(r'"reasons?"\s*:\s*"((?:[^"\\]|\\.)*)', re.I)
_REASON_PROSE = re.compile(
    r"\b(?:reasons?|explanation)\b[*_`]{0,4}\s{0,3}[:=-][*_`]{0,4}\s{0,3}(.+)", re.I | re.S
)
_RANKING_KEYS = ("ranking", "rankedlist", "order", "list", "ranked")
_REASON_KEYS = ("reason", "reasons", "explanation", "why")
_NAME_KEYS = ("id", "label", "letter", "candidate", "name", "item", "option")
_GRADE_KEYS = ("grade", "score", "rating", "value", "points")

_DECODER = json.JSONDecoder(object_pairs_hook=tuple)
"""An object becomes a tuple of pairs, so that repeated keys are kept; a list stays a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a model says about n candidates, made complete."""

    order: tuple[int, ...]
    """A permutation of range(n), best first."""
    grades: tuple[float | None, ...] | None = None
    """0 to 10 by candidate, comparable between prompts about one query; None for a candidate
    without a grade. None instead of the tuple if the model was asked for an order alone."""
    reason: str = ""
    repairs: int = 0
    """Ids dropped, repeated or missing, grades out of range, and 1 if the reply is not in the
    notation asked for: prose, JSON that was cut, numbers instead of letters."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a reply says about one candidate; not checked yet."""

    name: str
    grade: Any
    reason: Any = ""


def clean(words: str, *, limit: int = SHOWN) -> str:
    """Plain words on one line, without control and direction characters, at most `limit`."""
    kept = "".join(" " if c.isspace() else c for c in words[: 8 * limit])
    kept = "".join(c for c in kept if unicodedata.category(c)[0] != "C")
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: limit - 1].rstrip() + "…"


def read_ranking(reply: str, labels: str) -> Judgement:
    """Read an order from a reply that should be `{"ranking": ["B", …], "reason": "…"}`.

    Unknown ids are dropped, the first of duplicates counts, and missing candidates follow in
    the order of the index. Never raises.
    """
    text = _normalise(reply)
    found = _find_json(text, "{", _count_listed)
    listed = _ranking_in(found)
    named = listed or _ids_in_prose(text)
    places, numbered = _find_places(named, labels)
    order = tuple(dict.fromkeys(place for place in places if place is not None))
    missing = [place for place in range(len(labels)) if place not in set(order)]
    odd = numbered or bool(named and not listed)
    repairs = len(named) - len(order) + len(missing) + odd
    return Judgement(order=(*order, *missing), reason=_reason(found, text), repairs=repairs)


def read_grades(reply: str, labels: str) -> Judgement:
    """Read grades from a reply that should be `{"A": 7, …, "reason": "…"}`, and their order.

    Ties keep the order of the index; candidates without a grade come last. Never raises.
    """
    text = _normalise(reply)
    found = _find_json(text, "{[", lambda value: _count_graded(value, labels))
    entries, in_prose = list(_entries(found, labels)), False
    if not entries:
        entries = [_Entry(match[1], match[2]) for match in _GRADE.finditer(text)]
        in_prose = bool(entries)
    places, numbered = _find_places([entry.name for entry in entries], labels)
    grades, reasons, repairs = _settle(places, entries)
    repairs += len(labels) - len(grades) + (numbered or in_prose)
    complete = tuple(grades.get(place) for place in range(len(labels)))
    order = order_by(complete)
    reason = _reason(found, text) or clean(reasons.get(order[0], "") if order else "")
    return Judgement(order=order, grades=complete, reason=reason, repairs=repairs)


def _normalise(reply: str) -> str:
    """The part of a reply that is read, with full-width letters and digits made plain."""
    return unicodedata.normalize("NFKC", reply[:READ])


def _find_json(text: str, marks: str, count: Callable[[Any], int]) -> Any:
    """The JSON value that begins with one of the marks and has the highest count.

    The first of equals; None if every count is 0.
    """
    best, most = None, 0
    for mark in marks:
        for value in _decode(text, mark):
            if (found := count(value)) > most:
                best, most = value, found
    return best


def _decode(text: str, mark: str) -> Iterator[Any]:
    place = -1
    for _ in range(ATTEMPTS):
        if (place := text.find(mark, place + 1)) < 0:
            return
        try:
            value, _ = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        yield value


def _ranking_in(value: Any) -> list[str] | None:
    """The ids in an object's ranking; None if it has no ranking."""
    for key, listed in value if isinstance(value, tuple) else ():
        if re.sub(r"\W|_", "", key.lower()) in _RANKING_KEYS and isinstance(listed, list):
            return [str(item) for item in listed]
    return None


def _count_listed(value: Any) -> int:
    """Count an empty ranking as well: the object is the reply."""
    listed = _ranking_in(value)
    return 0 if listed is None else 1 + len(listed)


def _ids_in_prose(text: str) -> list[str]:
    """The ids in the bracket with the most of them, else those before the reason."""
    brackets = [_ID.findall(inner) for inner in _LIST.findall(text)[:ATTEMPTS]]
    if best := max(brackets, key=len, default=[]):
        return [str(name) for name in best]
    head = _WORD.sub("", _BULLET.sub("", _REASON_PROSE.split(text)[0]))
    return [name for name in _ID.findall(head) if name.isupper() or name.isdecimal()]


def _find_places(names: Sequence[str], labels: str) -> tuple[list[int | None], bool]:
    """The place of the candidate with each name, None if unknown; whether any name is a number.

    Numbers count from 1; from 0 if there is a 0 and none as high as the number of candidates.
    """
    found = [_ID.fullmatch(name.strip().strip("\"'`*()[].")) for name in names]
    ids = [match[1].upper() if match else "" for match in found]
    numbers = [int(name) for name in ids if name.isdecimal()]
    first = 0 if 0 in numbers and len(labels) not in numbers else 1
    known = {label: place for place, label in enumerate(labels)}
    numbered = {place + first: place for place in range(len(labels))}
    places = [numbered.get(int(i)) if i.isdecimal() else known.get(i) for i in ids]
    return places, bool(numbers)


def _entries(value: Any, labels: str, depth: int = DEPTH) -> Iterator[_Entry]:
    """What a JSON value says about candidates, in one of these shapes or inside another object:

    {"A": 7, …}, {"A": {"grade": 7, "reason": "…"}, …} and [{"id": "A", "grade": 7}, …].
    """
    if depth == 0:
        return
    if isinstance(value, list):
        for item in value:
            name = _look_up(item, _NAME_KEYS)
            if name is None:
                yield from _entries(item, labels, depth - 1)
            else:
                yield _read_inside(str(name), item)
    elif isinstance(value, tuple):
        for key, inner in value:
            yield from _read_pair(key, inner, labels, depth)


def _read_pair(key: str, value: Any, labels: str, depth: int) -> Iterator[_Entry]:
    if key.lower() in _REASON_KEYS:
        return
    named = _find_places([key], labels)[0] != [None]
    if named and isinstance(value, tuple):
        yield _read_inside(key, value)
    elif not named and isinstance(value, list | tuple):
        yield from _entries(value, labels, depth - 1)
    else:
        yield _Entry(key, value)


def _read_inside(name: str, pairs: Any) -> _Entry:
    return _Entry(name, _look_up(pairs, _GRADE_KEYS), _look_up(pairs, _REASON_KEYS))


def _look_up(value: Any, keys: Sequence[str]) -> Any:
    """The first value in an object under one of the keys, else None."""
    pairs = value if isinstance(value, tuple) else ()
    return next((inner for key, inner in pairs if key.lower() in keys), None)


def _count_graded(value: Any, labels: str) -> int:
    """How many candidates a JSON value has an entry for."""
    places, _ = _find_places([entry.name for entry in _entries(value, labels)], labels)
    return len({place for place in places if place is not None})


def _settle(
    places: Sequence[int | None], given: Sequence[_Entry]
) -> tuple[dict[int, float], dict[int, str], int]:
    """Grades from 0 to 10 and reasons by place, and how many repairs that took."""
    grades: dict[int, float] = {}
    reasons: dict[int, str] = {}
    repairs = 0
    for place, entry in zip(places, given, strict=True):
        grade = _read_number(entry.grade)
        if place is None or place in grades or grade is None:
            repairs += 1
            continue
        grades[place] = min(max(grade, 0.0), float(HIGHEST))
        reasons[place] = entry.reason if isinstance(entry.reason, str) else ""
        repairs += grade != grades[place]
    return grades, reasons, repairs


def _read_number(value: Any) -> float | None:
    """A number, or the one in a string such as "7/10" or "8 out of 10"; None for anything else.

    A number far out of range comes back just out of it.
    """
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        return float(match[1].replace(",", ".")) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(min(max(value, -1), HIGHEST + 1))


def _reason(found: Any, text: str) -> str:
    """The reason of the object that was found; if none was, what the text says is a reason."""
    for key, value in found if isinstance(found, tuple) else ():
        if key.lower() in _REASON_KEYS and isinstance(value, str):
            return clean(value)
    if found is not None:
        return ""
    for pattern in (_REASON_OPEN, _REASON_PROSE):
        if match := pattern.search(text):
            return clean(match[1].replace('\\"', '"').strip('"} \n`'))
    return ""
