"""Words of shops that a small encoder of sentences does not know, in words that it does.

"Beanie" lies near beans for it and "settee" near setters. The table has only words that it
misplaces, each with plain words for the same thing; queries and titles are read alike.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

__all__ = ["put_plainly"]


def put_plainly(text: str) -> str:
    """The text with the table's words replaced, in any case and number; the rest unchanged."""
    plain = _table()
    return _pattern().sub(lambda found: plain[found[1].lower()], text)


@cache
def _table() -> Mapping[str, str]:
    text = files(__package__).joinpath("data/shop_words.csv").read_text("utf-8")
    return {row["word"]: row["plain"] for row in csv.DictReader(text.splitlines())}


@cache
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(_table(), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})s?\b", re.IGNORECASE)
