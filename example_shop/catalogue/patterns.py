"""Printed and woven patterns as seamless tiles of ink.

A tile holds, for every texel, how much of three inks covers the ground colour. A surface looks
its texels up by its own coordinates, which is how a stripe follows the wall of a mug.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .fields import Field, noise, smoothstep
from .outlines import Outline, ellipse, rotate, smooth
from .palette import rgb, shift

TILE = 1024
_FINE = 2  # a tile is drawn this much larger and then reduced
_INKS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloth:
    """What a surface is covered with: a colour, a second one, and a pattern's name."""

    colour: str
    accent: str | None = None
    pattern: str = "plain"

    @property
    def ground(self) -> Field:
        """The main colour, (3,)."""
        return rgb(self.colour)

    @property
    def second(self) -> Field:
        """The accent, or a darker main colour where there is none, (3,)."""
        return rgb(self.accent) if self.accent else shift(self.ground, -0.3)

    def inks(self) -> tuple[Field, ...]:
        """The three inks that print this pattern on the ground."""
        ground, second = self.ground, self.second
        if self.pattern == "leopard":
            return second * 0.95, shift(ground * np.array([0.95, 0.82, 0.66], np.float32), -0.1), second
        if self.pattern == "camouflage":
            return second, shift(ground, -0.55), shift(ground, 0.32)
        if self.pattern == "floral":
            leaf = rgb("green") if self.colour not in ("green", "mint", "olive") else rgb("mint")
            return second, shift(leaf, -0.12), rgb("yellow" if self.accent != "yellow" else "orange")
        return second, shift(second, 0.35), shift(second, -0.3)


def dye(cloth: Cloth, u: Field, v: Field, *, span: float, fineness: float = 1) -> Field:
    """The colours (3, h, w) of a surface whose points have the coordinates u, v.

    One tile covers `span` of these coordinates; `fineness` is how many pixels make one of them.
    """
    if cloth.pattern == "plain":
        return cloth.ground
    texel = TILE / span
    inks = tile(cloth.pattern, round(max(0.0, texel / fineness / 2 - 0.5), 1))
    at = ((v * texel).astype(np.int32) & (TILE - 1)) * TILE + ((u * texel).astype(np.int32) & (TILE - 1))
    out = np.repeat(cloth.ground[:, None, None], at.shape[0], 1) + np.zeros(at.shape, np.float32)
    ground = cloth.ground
    for plane, ink in zip(inks, cloth.inks(), strict=False):
        weight = plane.take(at).astype(np.float32) / 255
        for channel in range(3):
            out[channel] += weight * (ink[channel] - ground[channel])
    return out


@functools.lru_cache(maxsize=48)
def tile(pattern: str, blur: float = 0) -> tuple[NDArray[np.uint8], ...]:
    """One to three planes (TILE * TILE,) of ink coverage, softened by `blur` texels.

    Raises KeyError for a pattern not in PATTERNS.
    """
    planes = PATTERNS[pattern](blur)
    return tuple(np.ascontiguousarray(p).reshape(-1) for p in planes if p.any())


class _Press:
    """A seamless sheet: what runs over one side of it comes in at the other."""

    def __init__(self) -> None:
        self._side = TILE * _FINE
        self._image = Image.new("RGB", (self._side, self._side))
        self._draw = ImageDraw.Draw(self._image)

    def stamp(self, outline: Outline, ink: int | None) -> None:
        """Print an outline, in units of the tile, with an ink (None: the ground shows)."""
        fill = (0, 0, 0) if ink is None else _INKS[ink]
        low, high = outline.min(0), outline.max(0)
        for dx in range(int(np.floor(-high[0])) + 1, int(np.ceil(1 - low[0]))):
            for dy in range(int(np.floor(-high[1])) + 1, int(np.ceil(1 - low[1]))):
                points = ((outline + (dx, dy)) * self._side).reshape(-1).tolist()
                self._draw.polygon(points, fill=fill)

    def planes(self, blur: float) -> list[NDArray[np.uint8]]:
        """The coverage of each ink, (TILE, TILE)."""
        sheet = self._image.reduce(_FINE)
        if blur:
            padded = Image.fromarray(np.pad(np.asarray(sheet), ((16, 16), (16, 16), (0, 0)), "wrap"))
            sheet = padded.filter(ImageFilter.GaussianBlur(blur)).crop((16, 16, 16 + TILE, 16 + TILE))
        return list(np.asarray(sheet).transpose(2, 0, 1))


def _scatter(seed: int, count: int, apart: float) -> list[tuple[float, float]]:
    """Points of the tile at random, no two nearer than `apart` across its borders."""
    draw, found = random.Random(seed), list[tuple[float, float]]()
    for _ in range(count * 60):
        x, y = draw.random(), draw.random()
        if all(_gap(x - a) ** 2 + _gap(y - b) ** 2 > apart**2 for a, b in found):
            found.append((x, y))
    return found[:count]


def _gap(d: float) -> float:
    return abs(d - round(d))


def _blob(draw: random.Random, x: float, y: float, rx: float, ry: float, rough: float = 0.25) -> Outline:
    corners = [
        (rx * r * np.cos(a), ry * r * np.sin(a))
        for a, r in ((2 * np.pi * k / 9, 1 + draw.uniform(-rough, rough)) for k in range(9))
    ]
    return rotate(smooth(corners), draw.uniform(0, 180)) + (x, y)


def _waves(planes: list[Field]) -> list[NDArray[np.uint8]]:
    return [np.asarray(np.clip(p, 0, 1) * 255, np.uint8) for p in planes]


def _ramp(width: float, blur: float) -> Field:
    """Bars along the tile: 1 for the first half of each period `width`, with soft flanks."""
    at = np.arange(TILE, dtype=np.float32) / TILE / width % 1
    soft = (1 + blur) / TILE / width
    off = np.minimum(np.minimum(at, 1 - at), np.abs(at - 0.5)) * np.where(at < 0.5, 1, -1)
    return smoothstep(-soft, soft, off.astype(np.float32))


def _striped(blur: float) -> list[NDArray[np.uint8]]:
    return _waves([np.repeat(_ramp(1 / 8, blur)[:, None], TILE, 1)])


def _checked(blur: float) -> list[NDArray[np.uint8]]:
    bar = _ramp(1 / 8, blur)
    return _waves([0.5 * bar[:, None] + 0.5 * bar[None]])


def _zigzag(blur: float) -> list[NDArray[np.uint8]]:
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / TILE
    at = (y * 8 + 0.9 * np.abs((x * 8) % 1 * 2 - 1)) % 1
    off = np.minimum(np.minimum(at, 1 - at), np.abs(at - 0.45)) * np.where(at < 0.45, 1, -1)
    soft = 8 * (1 + blur) / TILE
    return _waves([smoothstep(-soft, soft, off)])


def _zebra(blur: float) -> list[NDArray[np.uint8]]:
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / TILE
    bend = noise(31, side=TILE, finest=150) * 0.62 + noise(32, side=TILE, finest=70) * 0.12
    bands = np.sin(2 * np.pi * (7 * y + bend * 1.4 + 0.25 * np.sin(2 * np.pi * x)))
    soft = 0.09 * (1 + blur)
    return _waves([smoothstep(-soft, soft, (bands + 0.12).astype(np.float32))])


def _camouflage(blur: float) -> list[NDArray[np.uint8]]:
    a, b, c = (noise(seed, side=TILE, finest=64, coarsest=200) for seed in (41, 42, 43))
    soft = 0.02 * (1 + blur)
    first = smoothstep(-soft, soft, a - 0.35)
    second = smoothstep(-soft, soft, b - 0.75)
    third = smoothstep(-soft, soft, c - 0.8) * (1 - second)
    return _waves([first * (1 - second) * (1 - third), second, third])


def _dotted(blur: float) -> list[NDArray[np.uint8]]:
    press = _Press()
    for row in range(8):
        for column in range(4):
            x, y = (column + 0.5 * (row % 2) + 0.25) / 4, (row + 0.5) / 8
            press.stamp(ellipse(x, y, 0.052, 0.052), 0)
    return press.planes(blur)


def _star(x: float, y: float, radius: float, turn: float) -> Outline:
    corners = [
        (radius * r * np.sin(k * np.pi / 5), -radius * r * np.cos(k * np.pi / 5))
        for k, r in enumerate((1, 0.42) * 5)
    ]
    return rotate(np.array(corners), turn) + (x, y)


def _stars(blur: float) -> list[NDArray[np.uint8]]:
    press, draw = _Press(), random.Random(5)
    for row in range(6):
        for column in range(3):
            x, y = (column + 0.5 * (row % 2) + 0.25) / 3, (row + 0.5) / 6
            press.stamp(_star(x, y, draw.choice((0.075, 0.092)), draw.uniform(-18, 18)), 0)
    return press.planes(blur)


def _hearts(blur: float) -> list[NDArray[np.uint8]]:
    t = np.linspace(0, 2 * np.pi, 80)
    wave = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    heart = np.stack([16 * np.sin(t) ** 3, -wave], 1) / 16
    press = _Press()
    for row in range(6):
        for column in range(3):
            x, y = (column + 0.5 * (row % 2) + 0.25) / 3, (row + 0.5) / 6
            press.stamp(rotate(heart * 0.068, 12 if row % 2 else -12) + (x, y), 0)
    return press.planes(blur)


def _floral(blur: float) -> list[NDArray[np.uint8]]:
    press, draw = _Press(), random.Random(8)
    for x, y in _scatter(8, 60, 0.13):
        size, turn = draw.uniform(0.055, 0.078), draw.uniform(0, 360)
        for leaf in (draw.uniform(0, 120), draw.uniform(180, 300)):
            blade = smooth([(0, 0), (0.6, -0.3), (1.25, 0), (0.6, 0.3)]) * size
            press.stamp(rotate(blade + (size * 0.7, 0), leaf) + (x, y), 1)
        for petal in range(5):
            shape = ellipse(size * 0.58, 0, size * 0.5, size * 0.36)
            press.stamp(rotate(shape, turn + 72 * petal) + (x, y), 0)
        press.stamp(ellipse(x, y, size * 0.26, size * 0.26), 2)
    for x, y in _scatter(9, 70, 0.085):
        press.stamp(ellipse(x, y, 0.011, 0.011), 2)
    return press.planes(blur)


def _leopard(blur: float) -> list[NDArray[np.uint8]]:
    press, draw = _Press(), random.Random(3)
    spots = _scatter(3, 90, 0.102)
    for x, y in spots:
        radius, at = draw.uniform(0.036, 0.045), draw.uniform(0, 360)
        press.stamp(_blob(draw, x, y, radius, radius * 0.85), 1)
        for _ in range(draw.choice((2, 3, 3))):
            reach = draw.uniform(62, 100)
            arc = ellipse(0, 0, radius, radius * 0.88, span=(at, at + reach))[::12]
            _brush(press, draw, arc + (x, y), 0.015)
            at += reach + draw.uniform(22, 40)
    for x, y in _scatter(4, 160, 0.06):
        if min(_gap(x - a) ** 2 + _gap(y - b) ** 2 for a, b in spots) > 0.062**2:
            press.stamp(_blob(draw, x, y, 0.015, 0.010, 0.3), 0)
    return press.planes(blur)


def _brush(press: _Press, draw: random.Random, points: Outline, width: float) -> None:
    """A fat, uneven stroke along the points."""
    for x, y in points:
        press.stamp(_blob(draw, x, y, width, width * 0.85, 0.2), 0)


PATTERNS: Final[dict[str, Callable[[float], list[NDArray[np.uint8]]]]] = {
    "striped": _striped,
    "checked": _checked,
    "zigzag": _zigzag,
    "dotted": _dotted,
    "stars": _stars,
    "hearts": _hearts,
    "floral": _floral,
    "leopard": _leopard,
    "zebra": _zebra,
    "camouflage": _camouflage,
}
