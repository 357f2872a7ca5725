"""What is asked of the drawn catalogue, and which of its products answer it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from example_shop.catalogue import Item

Grade: TypeAlias = Callable[[Item], float]
RIGHT = 3.0  # the grade from which on a product counts as right


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`grade` is 0 for a wrong product, 1 and 2 for half of the wish, `RIGHT` and more for all."""

    group: str
    grade: Grade
    like: int | None = None
    text: str | None = None


def by_words(goods: Sequence[Item]) -> Iterator[Question]:
    """Words such as "red mug", then such as "striped mug"."""
    for colour, kind in sorted({(item.colour, item.kind) for item in goods}):

        def grade(item: Item, colour: str = colour, kind: str = kind) -> float:
            return (item.kind == kind) * (4.0 if item.colour == colour else 1.0)

        yield Question(group="red mug", text=f"{colour} {kind}", grade=grade)
    for pattern, kind in sorted({(item.pattern, item.kind) for item in goods}):

        def has(item: Item, pattern: str = pattern, kind: str = kind) -> float:
            return (item.kind == kind) * (4.0 if item.pattern == pattern else 1.0)

        yield Question(group="striped mug", text=f"{pattern} {kind}", grade=has)


def like(at: int, goods: Sequence[Item], _: random.Random) -> Question:
    """A picture alone."""
    shown = goods[at]

    def grade(item: Item) -> float:
        same = (item.colour == shown.colour) + (item.pattern == shown.pattern)
        return (item.kind == shown.kind) * (1.0 + 2.0 * same)

    return Question(group="picture", like=at, grade=grade)


def recoloured(at: int, goods: Sequence[Item], chance: random.Random) -> Question | None:
    """A picture and "but in red"."""
    shown = goods[at]
    alike = [i for i in goods if (i.kind, i.pattern) == (shown.kind, shown.pattern)]
    colours = sorted({item.colour for item in alike} - {shown.colour})
    if not colours:
        return None
    colour = chance.choice(colours)

    def grade(item: Item) -> float:
        right = 3.0 * (item.colour == colour) + (item.pattern == shown.pattern)
        return (item.kind == shown.kind) * right

    return Question(group="but in red", like=at, text=f"but in {colour}", grade=grade)


def other_kind(at: int, goods: Sequence[Item], chance: random.Random) -> Question | None:
    """A patterned picture and "a cushion with this"."""
    shown = goods[at]
    alike = [i for i in goods if i.pattern == shown.pattern != "plain"]
    kinds = sorted({item.kind for item in alike} - {shown.kind})
    if not kinds:
        return None
    kind = chance.choice(kinds)

    def grade(item: Item) -> float:
        right = 1.0 + 3.0 * (item.pattern == shown.pattern) + (item.colour == shown.colour)
        return (item.kind == kind) * right

    return Question(group="a mug with this", like=at, text=f"a {kind} with this", grade=grade)


def other_pattern(at: int, goods: Sequence[Item], chance: random.Random) -> Question | None:
    """A picture and "but striped"."""
    shown = goods[at]
    others = {item.pattern for item in goods if item.kind == shown.kind}
    patterns = sorted(others - {shown.pattern, "plain"})
    if not patterns:
        return None
    pattern = chance.choice(patterns)

    def grade(item: Item) -> float:
        right = 1.0 + 3.0 * (item.pattern == pattern) + (item.colour == shown.colour)
        return (item.kind == shown.kind) * right

    return Question(group="but striped", like=at, text=f"but {pattern}", grade=grade)


def questions(goods: Sequence[Item], *, each: int, seed: int = 11) -> list[Question]:
    """All questions of words, and up to `each` of every other group; always the same ones."""
    chance = random.Random(seed)
    found = list(by_words(goods))
    for make in (like, recoloured, other_kind, other_pattern):
        order = chance.sample(range(len(goods)), len(goods))
        made = (question for at in order if (question := make(at, goods, chance)))
        found += [question for question, _ in zip(made, range(each), strict=False)]
    return found
