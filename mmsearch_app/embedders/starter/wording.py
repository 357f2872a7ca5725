"""What a query's text asks for: colours, patterns, a kind of thing, and what to leave out.

A text of another language is put into English first. `take_apart` finds what it refuses. Names of
colours are colours, wanted or unwanted; names that more often mean a thing ("wine") are colours
only after "in". Words of asking ("like this", "show me") and wishes that no image shows
("cheaper") are dropped. Of the rest, pattern words ("striped") are patterns, and what then remains
names the kind of thing. The same holds for what is refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Final

from mmsearch_app.embedders.starter.colours import known_names
from mmsearch_app.embedders.starter.languages import put_into_english
from mmsearch_app.inference import take_apart


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ASKING: Final = _words(
    """, ; . not no without except isn't aren't never non minus
    a an the this that these those it its one ones same similar like as such but in on of for
    with and or to from by at is are be please show me find get give want wanted need looking look
    looks i i'd my some any something anything just only rather instead other another different
    than make made version style theme colour color colours colors coloured colored shade tone
    image picture photo photograph product products item items thing things kind print printed
    pattern patterned design designed also too very more less much bit little most have has had
    do does you your there he she they them we us our would could can will what which who if so
    am was were goes go going"""
)
INVISIBLE: Final = _words(
    """cheap cheaper cheapest expensive price priced affordable budget better best nicer nice good
    new newer big bigger large larger small smaller short shorter long longer wide wider slim
    slimmer light lighter dark darker bright brighter pale paler deep heavier warmer cooler size
    sale under euro euros dollar dollars"""
)
_PATTERNS: Final = _words(
    """striped stripes stripe stripy stripey dotted dots dot polka spotted spots checked check
    checks chequered checkered plaid tartan gingham floral flower flowers flowery flowered leopard
    zebra tiger snake animal camouflage camo plain solid unicolour geometric paisley herringbone
    houndstooth zigzag chevron tropical stars starry star hearts heart marbled tie-dye"""
)
DRAWN_PATTERNS: Final[Mapping[str, tuple[str, ...]]] = {
    "striped": ("striped", "stripes", "stripe", "stripy", "stripey"),
    "dotted": ("dotted", "dots", "dot", "polka", "spotted", "spots"),
    "checked": ("checked", "check", "checks", "chequered", "checkered", "plaid", "gingham"),
    "plain": ("plain", "solid", "unicolour"),
}
"""Patterns that `vision` can draw, and the words that name them."""
_WORD: Final = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[,;.]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The parts of a query's text, in English; patterns and kinds keep the order of the words."""

    colours: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    """Colours that are refused."""
    patterns: str = ""
    kind: str = ""
    refused: str = ""
    """Patterns and kinds that are refused, such as "stripes" or "striped mug"."""
    sentence: str = field(default="", compare=False)
    """The whole text without what it refuses."""

    @property
    def thing(self) -> str:
        """Patterns and kind together, such as "striped mug"; "" if neither is named."""
        return f"{self.patterns} {self.kind}".strip()


def read_wish(text: str) -> Wish:
    """Take a query's text apart. Any text is valid; "" asks for nothing."""
    words = take_apart(put_into_english(text), language="en")
    wanted, unwanted = _sort(words.wanted), _sort(words.unwanted)
    return replace(
        wanted,
        colours=tuple(name for name in wanted.colours if name not in unwanted.colours),
        unwanted=unwanted.colours,
        refused=unwanted.thing,
        sentence=words.wanted,
    )


def _sort(text: str) -> Wish:
    """Sort an English text's words into colours, patterns and what names a kind of thing."""
    colours: list[str] = []
    patterns: list[str] = []
    kind: list[str] = []
    for term, is_colour in _terms(_split(text)):
        if is_colour:
            colours.append(term)
        elif term in _PATTERNS:
            patterns.append(term)
        elif term not in ASKING and term not in INVISIBLE:
            kind.append(term)
    return Wish(
        colours=tuple(dict.fromkeys(colours)), patterns=" ".join(patterns), kind=" ".join(kind)
    )


def _split(text: str) -> list[str]:
    """Return words in lower case; "off-white" and "blue-striped" are split, "t-shirt" is not."""
    words: list[str] = []
    for word in _WORD.findall(text.lower().replace("’", "'")):
        parts = word.split("-")
        is_known = {" ".join(parts), *parts} & (known_names() | _PATTERNS)
        words += parts if is_known else [word]
    return words


def _terms(words: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield words, a colour's name as one, and whether each is a colour."""
    at = 0
    while at < len(words):
        size = _colour_at(words, at)
        yield " ".join(words[at : at + max(size, 1)]), size > 0
        at += max(size, 1)


def _colour_at(words: list[str], at: int) -> int:
    """Return how many words from `at` on name one colour; 0 if none do."""
    names = known_names(after_in="in" in words[max(0, at - 2) : at])
    sizes = (n for n in range(_longest(), 0, -1) if " ".join(words[at : at + n]) in names)
    return next(sizes, 0)


@cache
def _longest() -> int:
    return max(len(name.split()) for name in known_names())


def drawn_patterns(words: Iterable[str]) -> list[str]:
    """Return those of `DRAWN_PATTERNS` that the words name."""
    named = set(words)
    return [pattern for pattern, terms in DRAWN_PATTERNS.items() if named.intersection(terms)]


def put_plainly(text: str) -> str:
    """Replace words of shops that the sentence encoder misplaces, in any case and number.

    It puts "beanie" near beans and "settee" near setters. The table has only such words, each with
    plain words for the same thing. Titles and queries are treated alike, and put into English.
    """
    plain = _shop_words()
    return _shop_words_pattern().sub(lambda found: plain[found[1].lower()], put_into_english(text))


@cache
def _shop_words() -> Mapping[str, str]:
    text = files(__package__).joinpath("data/shop_words.csv").read_text("utf-8")
    return {row["word"]: row["plain"] for row in csv.DictReader(text.splitlines())}


@cache
def _shop_words_pattern() -> re.Pattern[str]:
    longest_first = sorted(_shop_words(), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})s?\b", re.IGNORECASE)
