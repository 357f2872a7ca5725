"""What products can look like, and which looks the model never sees in training."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from example_shop.catalogue import COLOURS, PATTERNS, Cloth, items, rgb
from example_shop.catalogue.kinds import DRAWINGS

KINDS = tuple(DRAWINGS)
SHADES = tuple(COLOURS)
PRINTS = ("plain", *sorted(set(PATTERNS) - {"plain"}))
TRIMMED = ("dress", "baseball cap", "running shoes", "socks", "cushion", "table lamp", "notebook")
"""Kinds that show the second colour even if they are plain."""
PLAIN_SHARE = 0.16
EVEN = ("striped", "checked")
"""Patterns in which both colours have the same share."""
GREYISH = 12
"""Chroma (0 to 255) up to which a colour is black, grey or white."""
CONTRAST = 95
"""The least distance in sRGB (0 to 255) of a pattern's two colours: less is hard to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A kind of product in a colour and a pattern; `accent` is the second colour or None."""

    kind: str
    colour: str
    accent: str | None
    pattern: str

    @property
    def triple(self) -> tuple[str, str, str]:
        """What is held out: kind, colour and pattern."""
        return self.kind, self.colour, self.pattern

    @property
    def cloth(self) -> Cloth:
        """The look without the kind, for the functions that draw."""
        return Cloth(colour=self.colour, accent=self.accent, pattern=self.pattern)


@cache
def held_out() -> frozenset[tuple[str, str, str]]:
    """A fifth of all triples of kind, colour and pattern, always the same."""
    every = [(kind, colour, print_) for kind in KINDS for colour in SHADES for print_ in PRINTS]
    chosen = random.Random("held out 1").sample(every, len(every) // 5)  # noqa: S311 - no secret
    return frozenset(chosen)


@cache
def sold() -> frozenset[Look]:
    """The looks of the catalogue, whose pictures are held out as well."""
    return frozenset(
        Look(kind=item.kind, colour=item.colour, accent=item.accent, pattern=item.pattern)
        for item in items()
    )


def looks_to_learn(seed: int) -> Iterator[Look]:
    """Looks without end, none of them held out: kinds and patterns in equal shares."""
    chance = random.Random(f"looks {seed}")  # noqa: S311 - a fixed sample, no secret
    while True:
        look = _draw_look(chance)
        if look.triple not in held_out() and look not in sold():
            yield look


def _draw_look(chance: random.Random) -> Look:
    kind, colour = chance.choice(KINDS), chance.choice(SHADES)
    if chance.random() < PLAIN_SHARE:
        trim = chance.choice(SHADES) if kind in TRIMMED and chance.random() < 0.7 else None
        return Look(kind=kind, colour=colour, accent=trim, pattern="plain")
    accent = chance.choice([other for other in SHADES if contrast(colour, other) >= CONTRAST])
    return Look(kind=kind, colour=colour, accent=accent, pattern=chance.choice(PRINTS[1:]))


def is_named_so(look: Look) -> bool:
    """Whether the colour, rather than the accent, is what the shop calls the look by.

    In stripes and checks both colours have the same share: blue and white is the same picture as
    white and blue. The shop names the more colourful one, and of black and white the lighter one.
    """
    if look.accent is None or look.pattern not in EVEN:
        return True
    return _strength(look.colour) > _strength(look.accent)


def _strength(colour: str) -> tuple[int, float]:
    values = [round(float(value) * 255) for value in rgb(colour)]
    chroma = max(values) - min(values)
    return (chroma if chroma > GREYISH else 0), sum(values)


def contrast(one: str, other: str) -> float:
    """The distance of two named colours in sRGB, 0 to 441."""
    return float(np.linalg.norm(rgb(one) - rgb(other)) * 255)
