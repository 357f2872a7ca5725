"""Pieces of patterned cloth, drawn so that words can name a texture as they name a colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from PIL import Image, ImageChops, ImageDraw

__all__ = ["PATTERNS", "draw_swatches", "patterns_named"]

_SIDE: Final = 224
STEPS: Final = (8, 14, 24)  # pixels of a stripe
PAIRS: Final = (("#cb2229", "#f5f4f1"), ("#2668c4", "#f5f4f1"), ("#1e2a56", "#f5cb34"))
PATTERNS: Final[Mapping[str, tuple[str, ...]]] = {
    "striped": ("striped", "stripes", "stripe", "stripy", "stripey"),
    "dotted": ("dotted", "dots", "dot", "polka", "spotted", "spots"),
    "checked": ("checked", "check", "checks", "chequered", "checkered", "plaid", "gingham"),
    "plain": ("plain", "solid", "unicolour"),
}


def patterns_named(words: Iterable[str]) -> list[str]:
    """Which of `PATTERNS` the words name."""
    named = set(words)
    return [pattern for pattern, terms in PATTERNS.items() if named.intersection(terms)]


def draw_swatches(pattern: str) -> list[Image.Image]:
    """The pattern in several colours and sizes, square RGB pictures of 224 pixels."""
    return [_draw(pattern, ink, ground, step) for ink, ground in PAIRS for step in STEPS]


def _draw(pattern: str, ink: str, ground: str, step: int) -> Image.Image:
    cloth = Image.new("RGB", (_SIDE, _SIDE), ground)
    cloth.paste(ink, mask=_stencil(pattern, step))
    return cloth


def _stencil(pattern: str, step: int) -> Image.Image:
    """Where the ink goes, 0 to 255."""
    stripes, dots = Image.new("L", (_SIDE, _SIDE)), Image.new("L", (_SIDE, _SIDE))
    for y in range(0, _SIDE, 2 * step):
        ImageDraw.Draw(stripes).rectangle((0, y, _SIDE, y + step - 1), "#808080")
        for x in range(y // 2 % (2 * step), _SIDE, 2 * step):
            ImageDraw.Draw(dots).ellipse((x, y, x + step, y + step), "white")
    across = stripes.transpose(Image.Transpose.TRANSPOSE)
    return {
        "plain": Image.new("L", (_SIDE, _SIDE), "white"),
        "striped": stripes.point(lambda value: 255 * (value > 0)),
        "dotted": dots,
        "checked": ImageChops.add(stripes, across),  # where the stripes cross, the ink is thick
    }[pattern]
