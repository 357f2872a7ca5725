"""What visitors ask for, in words, and how well a product answers it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from example_shop.llvm.looks import KINDS, PRINTS, SHADES, Look

_WRITTEN: Final[dict[str, tuple[str, ...]]] = {
    "plain": ("plain", "in one colour", "without a pattern"),
    "striped": ("striped", "with stripes"),
    "checked": ("checked", "with checks"),
    "dotted": ("dotted", "polka dot", "with dots"),
    "floral": ("floral", "with flowers", "flowery"),
    "leopard": ("leopard", "leopard print"),
    "zebra": ("zebra", "zebra print"),
    "camouflage": ("camouflage", "camo"),
    "stars": ("stars", "with stars", "starry"),
    "hearts": ("hearts", "with hearts"),
    "zigzag": ("zigzag", "chevron"),
}
"""How visitors write a pattern; the first is the name that the catalogue has for it."""
_NAMED: Final[dict[str, str]] = {
    "plain": "plain {colour} {kind}",
    "striped": "{colour} striped {kind}",
    "checked": "{colour} checked {kind}",
    "dotted": "{colour} dotted {kind}",
    "floral": "{colour} floral {kind}",
    "leopard": "{colour} leopard {kind}",
    "zebra": "{colour} zebra {kind}",
    "camouflage": "{colour} camouflage {kind}",
    "stars": "{colour} {kind} with stars",
    "hearts": "{colour} {kind} with hearts",
    "zigzag": "{colour} zigzag {kind}",
}
"""How the model names a look."""
_PLURALS = ("jeans", "running shoes", "socks", "sunglasses")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a good answer looks like: an empty attribute may be anything.

    The weights say how much colour and pattern count beside the kind, which must be right.
    """

    kind: str
    colour: str = ""
    pattern: str = ""
    colour_weight: int = 2
    pattern_weight: int = 2

    @property
    def missing_weight(self) -> int:
        """The weight of what is asked for, the kind's 1 included."""
        colour = self.colour_weight if self.colour else 0
        return 1 + colour + (self.pattern_weight if self.pattern else 0)

    def grade(self, look: Look) -> int:
        """How well a product answers: 10 in everything, 0 not at all."""
        colour = look.colour == self.colour
        pattern = look.pattern == self.pattern
        if look.kind != self.kind:
            return int(colour and pattern)
        met = 1 + colour * self.colour_weight + pattern * self.pattern_weight
        return round(10 * met / self.missing_weight)

    def explain(self, look: Look) -> str:
        """Why a product was chosen, and what it is not: one sentence."""
        lacks = []
        if look.kind != self.kind:
            lacks.append(f"not {_article(self.kind)}")
        if self.colour and look.colour != self.colour:
            lacks.append(f"not {self.colour}")
        if self.pattern and look.pattern != self.pattern:
            lacks.append(f"not {self.pattern}")
        named = name_look(look)
        said = f"{named[0].upper()}{named[1:]}"
        return f"{said}, but {' and '.join(lacks)}." if lacks else f"{said}, as you asked."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A visitor's question: the look in the picture or None, the words, and what is meant."""

    form: str
    shown: Look | None
    words: str
    wish: Wish


def name_look(look: Look) -> str:
    """What a picture shows, such as "a blue striped mug"."""
    named = _NAMED[look.pattern].format(colour=look.colour, kind=look.kind)
    return named if look.kind in _PLURALS else _article(named)


def read_look(sentence: str) -> tuple[str, str, str]:
    """Kind, colour and pattern that a sentence of the model names first; "" for what is not said.

    Reads what `name_look` and `Wish.explain` write.
    """
    said = sentence.lower().partition(", ")[0]
    kind = _first(said, KINDS)
    pattern = _first(said.removesuffix(kind), PRINTS)
    return kind, _first(said, SHADES), pattern


def _first(said: str, names: tuple[str, ...]) -> str:
    """The name that comes first, the longest of those that begin there."""
    found = [(said.find(name), -len(name), name) for name in names if name in said]
    return min(found)[2] if found else ""


def is_true(reason: str, wish: Wish, look: Look) -> bool:
    """Whether all that a reason says of a product is so: its look, and what it is not."""
    return read_look(reason) == look.triple and reason == wish.explain(look)


def _article(named: str) -> str:
    if named in _PLURALS:
        return named
    return f"{'an' if named[0] in 'aeiou' else 'a'} {named}"


Maker: TypeAlias = Callable[[Look, random.Random], Question]


def _ask(form: str, shown: Look | None, wish: Wish, chance: random.Random, *ways: str) -> Question:
    words = chance.choice(ways).format(
        colour=wish.colour,
        kind=wish.kind,
        a_kind=_article(wish.kind),
        pattern=chance.choice(_WRITTEN[wish.pattern or "plain"]),
        adjective=wish.pattern,
    )
    return Question(form=form, shown=shown, words=words, wish=wish)


def _like(shown: Look) -> Wish:
    return Wish(kind=shown.kind, colour=shown.colour, pattern=shown.pattern)


def _other(values: tuple[str, ...], old: str, chance: random.Random) -> str:
    return chance.choice([value for value in values if value != old])


def _picture(shown: Look, chance: random.Random) -> Question:
    return _ask("picture", shown, _like(shown), chance, "")


def _colour(shown: Look, chance: random.Random) -> Question:
    colour = _other(SHADES, shown.colour, chance)
    wish = replace(_like(shown), colour=colour, colour_weight=3, pattern_weight=1)
    ways = ("but in {colour}", "but in {colour}", "in {colour}", "the same in {colour}")
    more = ("{colour} instead", "this but {colour}", "like this in {colour}", "{colour} please")
    return _ask("but in red", shown, wish, chance, *ways, *more)


def _pattern(shown: Look, chance: random.Random) -> Question:
    pattern = _other(PRINTS, shown.pattern, chance)
    wish = replace(_like(shown), pattern=pattern, colour_weight=1, pattern_weight=3)
    ways = ("but {adjective}", "but {pattern}", "but {adjective}", "the same {pattern}")
    return _ask("but striped", shown, wish, chance, *ways, "{pattern} instead", "this {pattern}")


def _kind(shown: Look, chance: random.Random) -> Question:
    kind = _other(KINDS, shown.kind, chance)
    colour, pattern = (3, 1) if shown.pattern == "plain" else (1, 3)
    wish = replace(_like(shown), kind=kind, colour_weight=colour, pattern_weight=pattern)
    ways = ("a {kind} with this", "{a_kind} with this", "{a_kind} like this", "this as {a_kind}")
    return _ask("a mug with this", shown, wish, chance, *ways, "{kind}", "{kind} in this look")


def _colour_and_pattern(shown: Look, chance: random.Random) -> Question:
    colour, pattern = _other(SHADES, shown.colour, chance), _other(PRINTS, shown.pattern, chance)
    wish = Wish(kind=shown.kind, colour=colour, pattern=pattern)
    ways = ("but {adjective} in {colour}", "{colour} and {pattern}", "but {pattern}, in {colour}")
    return _ask("but striped in red", shown, wish, chance, *ways)


def _kind_and_pattern(shown: Look, chance: random.Random) -> Question:
    kind, pattern = _other(KINDS, shown.kind, chance), _other(PRINTS, shown.pattern, chance)
    wish = Wish(kind=kind, colour=shown.colour, pattern=pattern)
    ways = ("{a_kind} in this colour, {pattern}", "{a_kind} like this but {pattern}")
    return _ask("a striped mug like this", shown, wish, chance, *ways)


def _kind_and_colour(shown: Look, chance: random.Random) -> Question:
    kind, colour = _other(KINDS, shown.kind, chance), _other(SHADES, shown.colour, chance)
    wish = Wish(kind=kind, colour=colour, pattern=shown.pattern)
    ways = ("{a_kind} with this in {colour}", "{a_kind} like this but {colour}")
    return _ask("a red mug with this", shown, wish, chance, *ways)


def _words_colour(shown: Look, chance: random.Random) -> Question:
    wish = Wish(kind=shown.kind, colour=shown.colour, colour_weight=4)
    return _ask("red mug", None, wish, chance, "{colour} {kind}", "{kind} in {colour}")


def _words_pattern(shown: Look, chance: random.Random) -> Question:
    wish = Wish(kind=shown.kind, pattern=shown.pattern, pattern_weight=4)
    ways = ("{adjective} {kind}", "{pattern} {kind}", "{kind} {pattern}")
    return _ask("striped mug", None, wish, chance, *ways)


def _words_all(shown: Look, chance: random.Random) -> Question:
    ways = ("{colour} {adjective} {kind}", "{adjective} {kind} in {colour}")
    return _ask("red striped mug", None, _like(shown), chance, *ways)


FORMS: Mapping[str, Maker] = {
    "picture": _picture,
    "but in red": _colour,
    "but striped": _pattern,
    "a mug with this": _kind,
    "but striped in red": _colour_and_pattern,
    "a striped mug like this": _kind_and_pattern,
    "a red mug with this": _kind_and_colour,
    "red mug": _words_colour,
    "striped mug": _words_pattern,
    "red striped mug": _words_all,
}
"""By an example: the forms of a question."""
HELD_OUT_FORMS = ("a red mug with this", "red striped mug")
"""Never trained; each combines two wishes that are trained apart."""
COMPOSED = tuple(
    name for name in FORMS if name not in {"picture", "red mug", "striped mug", "red striped mug"}
)
"""Forms with a picture and words."""


def forms_to_learn() -> Iterator[str]:
    """The names of the forms that are trained."""
    yield from (name for name in FORMS if name not in HELD_OUT_FORMS)
