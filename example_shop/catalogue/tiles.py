"""Printed and woven patterns as seamless tiles.

For each texel, a tile has the coverage of the ground colour by each of up to three inks.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .fields import Field, noise, smoothstep
from .outlines import Outline, ellipse, move, rotate, smooth

Planes: TypeAlias = list[NDArray[np.uint8]]
"""The coverage of each ink, (TILE, TILE)."""
Points: TypeAlias = list[tuple[float, float]]
"""Places on the tile, whose sides are 1."""

TILE = 1024
_FINE = 2  # tiles are drawn this much larger and then reduced
_INKS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


class _Press:
    """A seamless sheet: a shape that crosses one side continues at the opposite side."""

    def __init__(self) -> None:
        self._side = TILE * _FINE
        self._image = Image.new("RGB", (self._side, self._side))
        self._draw = ImageDraw.Draw(self._image)

    def stamp(self, outline: Outline, ink: int | None) -> None:
        """Print an outline, in units of the tile, with an ink; None clears to the ground."""
        fill = (0, 0, 0) if ink is None else _INKS[ink]
        low, high = outline.min(0), outline.max(0)
        for dx in range(int(np.floor(-high[0])) + 1, int(np.ceil(1 - low[0]))):
            for dy in range(int(np.floor(-high[1])) + 1, int(np.ceil(1 - low[1]))):
                points = ((move(outline, dx, dy)) * self._side).reshape(-1).tolist()
                self._draw.polygon(points, fill=fill)

    def planes(self) -> Planes:
        """The coverage of each ink, (TILE, TILE)."""
        return list(np.asarray(self._image.reduce(_FINE)).transpose(2, 0, 1))


def _scatter(seed: int, count: int) -> Points:
    """Points spread evenly over the seamless tile, by Mitchell's best-candidate method (1991)."""
    draw, found = random.Random(seed), [(0.5, 0.5)]  # noqa: S311 - fixed
    while len(found) < count:
        tries = [(draw.random(), draw.random()) for _ in range(40)]
        found.append(tries[_nearest(tries, found).argmax()])
    return found


def _nearest(points: Points, others: Points) -> NDArray[np.float64]:
    """Squared distances to the nearest other point, also across the borders of the tile; (n,)."""
    gaps = np.asarray(points)[:, None] - np.asarray(others)
    gaps -= np.round(gaps)
    return np.asarray(np.square(gaps).sum(axis=2).min(axis=1))


def _blob(
    draw: random.Random, x: float, y: float, rx: float, ry: float, rough: float = 0.25
) -> Outline:
    corners = [
        (rx * r * np.cos(a), ry * r * np.sin(a))
        for a, r in ((2 * np.pi * k / 9, 1 + draw.uniform(-rough, rough)) for k in range(9))
    ]
    return move(rotate(smooth(corners), draw.uniform(0, 180)), x, y)


def _waves(planes: list[Field]) -> Planes:
    return [np.asarray(np.clip(p, 0, 1) * 255, np.uint8) for p in planes]


def _ramp(width: float) -> Field:
    """Bars along the tile: 1 in the first half of each period of `width`, with soft edges."""
    at = np.arange(TILE, dtype=np.float32) / TILE / width % 1
    soft = 1 / TILE / width
    off = np.minimum(np.minimum(at, 1 - at), np.abs(at - 0.5)) * np.where(at < 0.5, 1, -1)
    return smoothstep(-soft, soft, off.astype(np.float32))


def _striped() -> Planes:
    return _waves([np.repeat(_ramp(1 / 8)[:, None], TILE, 1)])


def _checked() -> Planes:
    bar = _ramp(1 / 8)
    return _waves([0.5 * bar[:, None] + 0.5 * bar[None]])


def _zigzag() -> Planes:
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / TILE
    at = (y * 8 + 0.9 * np.abs((x * 8) % 1 * 2 - 1)) % 1
    off = np.minimum(np.minimum(at, 1 - at), np.abs(at - 0.45)) * np.where(at < 0.45, 1, -1)
    soft = 8 / TILE
    return _waves([smoothstep(-soft, soft, off)])


def _zebra() -> Planes:
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / TILE
    bend = noise(31, side=TILE, finest=210) * 0.42 + noise(32, side=TILE, finest=90) * 0.07
    bands = np.sin(2 * np.pi * (9 * y + bend + 0.3 * np.sin(2 * np.pi * x)))
    return _waves([smoothstep(-0.09, 0.09, (bands + 0.12).astype(np.float32))])


def _camouflage() -> Planes:
    a, b, c = (noise(seed, side=TILE, finest=110, coarsest=330) for seed in (41, 42, 43))
    soft = 0.02
    first = smoothstep(-soft, soft, a - 0.35)
    second = smoothstep(-soft, soft, b - 0.75)
    third = smoothstep(-soft, soft, c - 0.8) * (1 - second)
    return _waves([first * (1 - second) * (1 - third), second, third])


def _dotted() -> Planes:
    press = _Press()
    for row in range(8):
        for column in range(4):
            x, y = (column + 0.5 * (row % 2) + 0.25) / 4, (row + 0.5) / 8
            press.stamp(ellipse(x, y, 0.052, 0.052), 0)
    return press.planes()


def _star(x: float, y: float, radius: float, turn: float) -> Outline:
    corners = [
        (radius * r * np.sin(k * np.pi / 5), -radius * r * np.cos(k * np.pi / 5))
        for k, r in enumerate((1, 0.42) * 5)
    ]
    return move(rotate(np.array(corners), turn), x, y)


def _stars() -> Planes:
    press, draw = _Press(), random.Random(5)  # noqa: S311 - fixed
    for row in range(6):
        for column in range(3):
            x, y = (column + 0.5 * (row % 2) + 0.25) / 3, (row + 0.5) / 6
            press.stamp(_star(x, y, draw.choice((0.075, 0.092)), draw.uniform(-18, 18)), 0)
    return press.planes()


def _hearts() -> Planes:
    t = np.linspace(0, 2 * np.pi, 80)
    wave = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    heart = np.stack([16 * np.sin(t) ** 3, -wave], 1) / 16
    press = _Press()
    for row in range(6):
        for column in range(3):
            x, y = (column + 0.5 * (row % 2) + 0.25) / 3, (row + 0.5) / 6
            press.stamp(move(rotate(heart * 0.068, 12 if row % 2 else -12), x, y), 0)
    return press.planes()


def _floral() -> Planes:
    press, draw = _Press(), random.Random(8)  # noqa: S311 - fixed
    for x, y in _scatter(8, 40):
        size, turn = draw.uniform(0.055, 0.078), draw.uniform(0, 360)
        for leaf in (draw.uniform(0, 120), draw.uniform(180, 300)):
            blade = smooth([(0, 0), (0.6, -0.3), (1.25, 0), (0.6, 0.3)]) * size
            press.stamp(move(rotate(move(blade, size * 0.7, 0), leaf), x, y), 1)
        for petal in range(5):
            shape = ellipse(size * 0.58, 0, size * 0.5, size * 0.36)
            press.stamp(move(rotate(shape, turn + 72 * petal), x, y), 0)
        press.stamp(ellipse(x, y, size * 0.26, size * 0.26), 2)
    for x, y in _scatter(9, 60):
        press.stamp(ellipse(x, y, 0.011, 0.011), 2)
    return press.planes()


def _leopard() -> Planes:
    press, draw = _Press(), random.Random(3)  # noqa: S311 - fixed
    spots = _scatter(3, 50)
    for x, y in spots:
        radius, at = draw.uniform(0.040, 0.049), draw.uniform(0, 360)
        press.stamp(_blob(draw, x, y, radius, radius * 0.85), 1)
        for _ in range(draw.choice((2, 3, 3))):
            reach = draw.uniform(62, 100)
            arc = ellipse(0, 0, radius, radius * 0.88, span=(at, at + reach))[::12]
            _brush(press, draw, move(arc, x, y), 0.015)
            at += reach + draw.uniform(22, 40)
    dots = _scatter(4, 230)
    for (x, y), room in zip(dots, _nearest(dots, spots), strict=True):
        if room > 0.07**2:
            press.stamp(_blob(draw, x, y, 0.015, 0.010, 0.3), 0)
    return press.planes()


def _brush(press: _Press, draw: random.Random, points: Outline, width: float) -> None:
    """Print a thick, uneven stroke along the points."""
    for x, y in points:
        press.stamp(_blob(draw, x, y, width, width * 0.85, 0.2), 0)


PATTERNS: Final[dict[str, Callable[[], Planes]]] = {
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
