"""What replies are written in: JSON somewhere in prose, names of candidates, numbers."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from mmsearch_app.rerankers.replies.schemas import HIGHEST

__all__ = [
    "ID",
    "NAME",
    "KeyValues",
    "find_json",
    "find_places",
    "is_pairs",
    "normalise_text",
    "read_number",
]

READ = 20_000
"""Characters of a reply that are looked at."""
ATTEMPTS = 64
"""Places at which an object, or a list, is looked for."""
NAME = r"(?:candidate|item|product|picture|image|option|number|no\.?|#)?\s{0,2}"
ID = re.compile(rf"(?<!\w){NAME}([A-Z]|\d{{1,3}})(?!\w)", re.I)

KeyValues: TypeAlias = list[tuple[str, Any]]

_NUMBER = re.compile(r"\s*([+-]?\d{1,6}(?:[.,]\d{1,6})?)\s*(%|/\s*10|out of 10)?\s*")
_DECODER = json.JSONDecoder(object_pairs_hook=list)


def normalise_text(reply: str) -> str:
    """As much of a reply as is read, wide and other forms of letters and digits made plain."""
    return unicodedata.normalize("NFKC", reply[:READ])


def find_json(text: str, worth: Callable[[Any], int], *, marks: str = "{[") -> Any:
    """What `worth` values most of all that begins with one of the marks; None if all at 0.

    Objects are lists of pairs, so that repeated keys are kept. Of equals the first one counts:
    objects before lists, outer ones before those inside.
    """
    best, found = 0, None
    for mark in marks:
        for place in _places_of(text, mark):
            try:
                value, _ = _DECODER.raw_decode(text, place)
            except (ValueError, RecursionError):
                continue
            if (worthy := worth(value)) > best:
                best, found = worthy, value
    return found


def is_pairs(value: Any) -> bool:
    """Whether it was an object. The empty one cannot be told from the empty list."""
    return isinstance(value, list) and all(isinstance(pair, tuple) for pair in value)


def find_places(names: Sequence[str], labels: str) -> tuple[list[int | None], bool]:
    """Where each name stands in the index, None for unknown ones; and whether any is a number."""
    found = [ID.fullmatch(name.strip().strip("\"'`*()[].")) for name in names]
    ids = [match[1].upper() if match else "" for match in found]
    numbers = [int(name) for name in ids if name.isdecimal()]
    first = 0 if 0 in numbers and len(labels) not in numbers else 1
    known = {label: place for place, label in enumerate(labels)}
    numbered = {place + first: place for place in range(len(labels))}
    places = [numbered.get(int(i)) if i.isdecimal() else known.get(i) for i in ids]
    return places, bool(numbers)


def read_number(value: Any) -> float | None:
    """A number, or one in a string such as "7/10", "8 out of 10" or "70%", which is 7.

    None for anything else. Numbers far out of range come back just out of it.
    """
    if isinstance(value, str) and (match := _NUMBER.fullmatch(value)):
        number = float(match[1].replace(",", "."))
        return number * HIGHEST / 100 if match[2] == "%" else number
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(min(max(value, -1), HIGHEST + 1))


def _places_of(text: str, mark: str) -> Iterator[int]:
    place = -1
    for _ in range(ATTEMPTS):
        place = text.find(mark, place + 1)
        if place < 0:
            return
        yield place
