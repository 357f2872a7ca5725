"""Reading a model's reply, trusting nothing in it: parse, validate, repair, count."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mmsearch_app.rerankers.fusion import order_by
from mmsearch_app.rerankers.replies.schemas import HIGHEST
from mmsearch_app.rerankers.replies.thoughts import ATTEMPTS, decode, drop_tokens, find_answer

SHOWN = 280
"""Characters of a reason or caption that are kept."""
READ = 20_000
"""Characters of an answer that are read: its last ones."""
T = TypeVar("T")

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
    r"\b(?:reasons?|explanation)\b[*_`]{0,4}\s{0,3}[:=-][*_`]{0,4}\s{0,3}(?=\S)", re.I
)
_SENTENCES = re.compile(r".*[.!?。！？…][\"'”’)*]{0,3}(?=\s|$)", re.S)
"""The finished sentences of a text that was cut."""
_RANKING_KEYS = ("ranking", "rankedlist", "order", "list", "ranked")
_REASON_KEYS = ("reason", "reasons", "explanation", "why")
_NAME_KEYS = ("id", "label", "letter", "candidate", "name", "item", "option")
_GRADE_KEYS = ("grade", "score", "rating", "value", "points")


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


def read_sentence(reply: str) -> str:
    """The sentence that a reply should be, as `clean` writes it: no thoughts, no control tokens."""
    return clean(drop_tokens(find_answer(reply)))


def read_ranking(reply: str, labels: str) -> Judgement:
    """Read an order from a reply that should be `{"ranking": ["B", …], "reason": "…"}`.

    The last answer that names most candidates counts. Unknown ids are dropped, the first of
    duplicates counts, and missing candidates follow in the order of the index. Never raises.
    """
    text = _read(reply)
    found, _ = _find_json(text, lambda value: _count_listed(value, labels))
    listed = _ranking_in(found)
    named = listed or _ids_in_prose(text, labels)
    places, numbered = _find_places(named, labels)
    answer = places if listed else _last_complete(places, places, len(labels))
    order = tuple(dict.fromkeys(place for place in answer if place is not None))
    missing = [place for place in range(len(labels)) if place not in set(order)]
    odd = numbered or bool(named and not listed)
    repairs = len(named) - len(order) + len(missing) + odd
    return Judgement(order=(*order, *missing), reason=_reason(found, text), repairs=repairs)


def read_grades(reply: str, labels: str) -> Judgement:
    """Read grades from a reply that should be `{"A": 7, …, "reason": "…"}`, and their order.

    The last answer with the most candidates counts. Ties keep the order of the index;
    candidates without a grade come last. Never raises.
    """
    text = _read(reply)
    found, end = _find_json(text, lambda value: _count_graded(value, labels))
    entries = list(_entries(found, labels))
    behind = [_Entry(match[1], match[2]) for match in _GRADE.finditer(text[end:])]
    in_prose = _count_named(behind, labels) > _count_named(entries, labels)
    if in_prose:
        found, entries = None, behind
    places, numbered = _find_places([entry.name for entry in entries], labels)
    pairs = list(zip(places, entries, strict=True))
    answer = _last_complete(pairs, places, len(labels), least=1 if in_prose else 2)
    grades, reasons, repairs = _settle(answer)
    repairs += len(entries) - len(answer)
    repairs += len(labels) - len(grades) + (numbered or in_prose)
    complete = tuple(grades.get(place) for place in range(len(labels)))
    order = order_by(complete)
    said = reasons.get(order[0], "") if order else ""
    reason = _reason(found, text) or clean(drop_tokens(said))
    return Judgement(order=order, grades=complete, reason=reason, repairs=repairs)


def _read(reply: str) -> str:
    """The part of a reply that is read, with full-width letters and digits made plain."""
    return unicodedata.normalize("NFKC", find_answer(reply)[-READ:])


def _find_json(text: str, count: Callable[[Any], int]) -> tuple[Any, int]:
    """The last of the JSON values with the highest count, and where it ends.

    A value inside a value that counts is part of it. Values that say more together than the best
    one says, such as one object per line, are one list. (None, 0) if every count is 0.
    """
    best, most, best_end = None, 0, 0
    counted: list[Any] = []
    outer = 0
    for begin, end, value in decode(text, "{["):
        if begin < outer:
            continue
        found = count(value)
        if found or isinstance(value, tuple):
            counted.append(value)
        if found:
            outer = end
        if found and found >= most:
            best, most, best_end = value, found, end
    if len(counted) > 1 and count(counted) > most:
        return counted, outer
    return best, best_end


def _ranking_in(value: Any, depth: int = DEPTH) -> list[str] | None:
    """The ids in an object's ranking, in it or in an object inside; None if it has no ranking."""
    pairs = value if isinstance(value, tuple) else ()
    for key, listed in pairs:
        if re.sub(r"\W|_", "", key.lower()) in _RANKING_KEYS and isinstance(listed, list):
            return [str(_look_up(item, _NAME_KEYS) or item) for item in listed]
    inside = (_ranking_in(inner, depth - 1) for _, inner in reversed(pairs) if depth > 1)
    return next((listed for listed in inside if listed is not None), None)


def _count_listed(value: Any, labels: str) -> int:
    """1 and how many candidates an object's ranking names; an empty one is a reply, too."""
    listed = _ranking_in(value)
    if listed is None:
        return 0
    return 1 + len(set(_find_places(listed, labels)[0]) - {None})


def _ids_in_prose(text: str, labels: str) -> list[str]:
    """The ids in the last of the brackets that name most candidates, else before the reason."""
    brackets = [_ID.findall(inner) for inner in _LIST.findall(text)[-ATTEMPTS:]]
    sizes = [len(set(_find_places(names, labels)[0]) - {None}) for names in brackets]
    if most := max(sizes, default=0):
        last = len(sizes) - 1 - sizes[::-1].index(most)
        return [str(name) for name in brackets[last]]
    head = _WORD.sub("", _BULLET.sub("", _before_reason(text)))
    return [name for name in _ID.findall(head) if name.isupper() or name.isdecimal()]


def _last_complete(
    items: Sequence[T], places: Sequence[int | None], count: int, *, least: int = 1
) -> Sequence[T]:
    """The last run of items about all `count` candidates, each once.

    A repeated candidate begins the next run: a draft comes before the answer. All items if there
    are fewer than `least` such runs.
    """
    runs: list[tuple[int, int]] = []
    begin, seen = 0, set[int]()
    for at, place in enumerate(places):
        if place in seen:
            begin, seen = at, set()
        if place is not None:
            seen.add(place)
        if len(seen) == count:
            runs.append((begin, at + 1))
    return items[slice(*runs[-1])] if len(runs) >= least else items


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
    return _count_named(list(_entries(value, labels)), labels)


def _count_named(entries: Sequence[_Entry], labels: str) -> int:
    places, _ = _find_places([entry.name for entry in entries], labels)
    return len(set(places) - {None})


def _settle(
    given: Sequence[tuple[int | None, _Entry]],
) -> tuple[dict[int, float], dict[int, str], int]:
    """Grades from 0 to 10 and reasons by place, and how many repairs that took."""
    grades: dict[int, float] = {}
    reasons: dict[int, str] = {}
    repairs = 0
    for place, entry in given:
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
    """The reason of the JSON value that was found; if none was, what the text says is a reason."""
    if found is not None:
        return clean(drop_tokens(_reason_in(found)))
    if cut := list(_REASON_OPEN.finditer(text)):
        said = _SENTENCES.match(cut[-1][1].replace('\\"', '"'))
        return clean(drop_tokens(said[0])) if said else ""
    if heads := list(_REASON_PROSE.finditer(text)):
        return clean(drop_tokens(text[heads[-1].end() :]).strip('"} \n`'))
    return ""


def _reason_in(value: Any, depth: int = DEPTH) -> str:
    """The reason in a JSON value: its own, or that of an object inside without a candidate."""
    if depth == 0 or not isinstance(value, list | tuple):
        return ""
    pairs = value if isinstance(value, tuple) else ()
    for key, inner in pairs:
        if key.lower() in _REASON_KEYS and isinstance(inner, str):
            return inner
    parts = [inner for key, inner in pairs if not _ID.fullmatch(key)]
    parts += [item for item in value if _look_up(item, _NAME_KEYS) is None] if not pairs else []
    return next(filter(None, (_reason_in(part, depth - 1) for part in reversed(parts))), "")


def _before_reason(text: str) -> str:
    heads = list(_REASON_PROSE.finditer(text))
    return text[: heads[-1].start()] if heads else text
