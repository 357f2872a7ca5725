"""Questions about the drawn catalogue, and the products that answer them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from example_shop.catalogue import Item

Grade: TypeAlias = Callable[[Item], float]
RIGHT = 3.0  # the grade from which on a product counts as right


OTHER_WORDS = {
    "armchair": ("lounger", "accent chair"),
    "backpack": ("rucksack", "daypack"),
    "baseball cap": ("snapback", "dad hat"),
    "cushion": ("pillow", "scatter pillow"),
    "dress": ("frock", "gown"),
    "handbag": ("satchel", "bag"),
    "hoodie": ("hooded pullover", "hooded sweater"),
    "jeans": ("denim trousers", "501"),
    "mug": ("beaker", "coffee cup"),
    "notebook": ("journal", "diary"),
    "phone case": ("phone cover", "bumper"),
    "running shoes": ("trainers", "pumps"),
    "scarf": ("wrap", "shawl"),
    "socks": ("hosiery", "crew pair"),
    "sunglasses": ("shades", "eyewear"),
    "t-shirt": ("tee", "top"),
    "table lamp": ("bedside light", "desk light"),
    "umbrella": ("brolly", "parasol"),
    "wall clock": ("timepiece", "clock face"),
    "water bottle": ("flask", "thermos"),
}
BRANDS = ("Apple Tree", "Red Fox", "Silver Creek", "Black Diamond", "Green Gate", "Lotus", "Dune")


def unhelpful_title(item: Item) -> str:
    """A brand with another word for the product, or with a number; always the same."""
    chance = random.Random(item.sku)
    brand, word = chance.choice(BRANDS), chance.choice(OTHER_WORDS[item.kind])
    said = (f"No. {chance.randint(2, 99)}", word, word, f"{item.colour} {word}")
    return f"{brand} {chance.choice(said)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`grade`: 0 for a wrong product, 1 or 2 for a partial match, else `RIGHT` or more."""

    group: str
    grade: Grade
    like: int | None = None
    text: str | None = None


def by_words(goods: Sequence[Item]) -> Iterator[Question]:
    """Questions in words, such as "red mug", then "striped mug"."""
    for colour, kind in sorted({(item.colour, item.kind) for item in goods}):

        def grade(item: Item, colour: str = colour, kind: str = kind) -> float:
            if item.kind != kind:
                return 0.0
            return 4.0 if item.colour == colour else 1.0

        yield Question(group="red mug", text=f"{colour} {kind}", grade=grade)
    for pattern, kind in sorted({(item.pattern, item.kind) for item in goods}):

        def has(item: Item, pattern: str = pattern, kind: str = kind) -> float:
            if item.kind != kind:
                return 0.0
            return 4.0 if item.pattern == pattern else 1.0

        yield Question(group="striped mug", text=f"{pattern} {kind}", grade=has)


def like(at: int, goods: Sequence[Item], _: random.Random) -> Question:
    """An image alone."""
    shown = goods[at]

    def grade(item: Item) -> float:
        if item.kind != shown.kind:
            return 0.0
        return 1.0 + 2.0 * (item.colour == shown.colour) + 2.0 * (item.pattern == shown.pattern)

    return Question(group="picture", like=at, grade=grade)


def recoloured(at: int, goods: Sequence[Item], chance: random.Random) -> Question | None:
    """An image and "but in red"."""
    shown = goods[at]
    alike = [i for i in goods if (i.kind, i.pattern) == (shown.kind, shown.pattern)]
    colours = sorted({item.colour for item in alike} - {shown.colour})
    if not colours:
        return None
    colour = chance.choice(colours)

    def grade(item: Item) -> float:
        if item.kind != shown.kind:
            return 0.0
        return 3.0 * (item.colour == colour) + (item.pattern == shown.pattern)

    return Question(group="but in red", like=at, text=f"but in {colour}", grade=grade)


def other_kind(at: int, goods: Sequence[Item], chance: random.Random) -> Question | None:
    """An image of a patterned product and "a cushion with this"."""
    shown = goods[at]
    alike = [i for i in goods if i.pattern == shown.pattern != "plain"]
    kinds = sorted({item.kind for item in alike} - {shown.kind})
    if not kinds:
        return None
    kind = chance.choice(kinds)

    def grade(item: Item) -> float:
        if item.kind != kind:
            return 0.0
        return 1.0 + 3.0 * (item.pattern == shown.pattern) + (item.colour == shown.colour)

    return Question(group="a mug with this", like=at, text=f"a {kind} with this", grade=grade)


def other_pattern(at: int, goods: Sequence[Item], chance: random.Random) -> Question | None:
    """An image and "but striped"."""
    shown = goods[at]
    others = {item.pattern for item in goods if item.kind == shown.kind}
    patterns = sorted(others - {shown.pattern, "plain"})
    if not patterns:
        return None
    pattern = chance.choice(patterns)

    def grade(item: Item) -> float:
        if item.kind != shown.kind:
            return 0.0
        return 1.0 + 3.0 * (item.pattern == pattern) + (item.colour == shown.colour)

    return Question(group="but striped", like=at, text=f"but {pattern}", grade=grade)


def questions(goods: Sequence[Item], *, each: int, seed: int = 11) -> list[Question]:
    """All questions in words, and up to `each` of every other group; always the same ones."""
    chance = random.Random(seed)
    found = list(by_words(goods))
    for make in (like, recoloured, other_kind, other_pattern):
        order = chance.sample(range(len(goods)), len(goods))
        made = filter(None, (make(at, goods, chance) for at in order))
        found += [question for question, _ in zip(made, range(each), strict=False)]
    return found
