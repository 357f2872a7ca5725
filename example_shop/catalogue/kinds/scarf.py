"""Scarves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from example_shop.catalogue.backdrops import PAPER, WARM_PAPER
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Pose
from example_shop.catalogue.outlines import Outline, ellipse, move, path
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import fold, sew, tube


def draw_scarf(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A knitted scarf, looped; second view: folded, with the fringe in front."""
    return _folded_scarf(cloth, size) if view == 1 else _looped_scarf(cloth, size)


def _fringe(
    canvas: Canvas, cloth: Cloth, start: Outline, end: Outline, hang: tuple[float, float]
) -> None:
    ink = cloth.ground if cloth.pattern == "plain" else shift(cloth.ground, -0.08)
    rng = np.random.default_rng(4)
    for t in np.linspace(0.03, 0.97, 15):
        x, y = start + (end - start) * t
        sway = rng.uniform(-6, 6)
        strand = path(
            f"M{x} {y}"
            f" Q{x + hang[0] * 0.4 + sway} {y + hang[1] * 0.5}"
            f" {x + hang[0] + sway * 0.4} {y + hang[1]}"
        )
        tube(canvas, shift(ink, float(rng.uniform(-0.12, 0.05))), strand, width=6, gloss=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tail:
    """A hanging end of a scarf: its shape, lower corners, direction of the fringe, and slant."""

    shape: str
    left: tuple[float, float]
    right: tuple[float, float]
    hang: tuple[float, float]
    turn: float


_TAILS = (
    _Tail(
        shape="M286 250 C280 320 250 420 226 506 L338 530 C352 430 364 340 372 260 Z",
        left=(226, 506),
        right=(338, 530),
        hang=(-10, 62),
        turn=10,
    ),
    _Tail(
        shape="M296 250 C322 330 352 400 378 474 L482 444 C456 360 420 300 386 236 Z",
        left=(378, 474),
        right=(482, 444),
        hang=(18, 60),
        turn=-16,
    ),
)


def _looped_scarf(cloth: Cloth, size: int) -> Canvas:
    canvas = Canvas(size, PAPER, Pose(zoom=1.06, dy=4))
    back = path(
        "M182 118 C214 52 426 52 458 118 C440 170 386 186 320 186 C254 186 200 170 182 118 Z"
    )
    front = path(
        "M150 150 C142 96 186 74 222 92 C244 160 290 186 320 188 C350 186 396 160 418 92"
        " C454 74 498 96 490 150 C488 240 410 306 320 308 C230 306 152 240 150 150 Z"
    )
    shapes = [path(tail.shape) for tail in _TAILS]
    canvas.drop(front, *shapes, dx=9, dy=13, blur=12, strength=0.32)
    how = Light(round=26, bulge=0.5, edge=0.3, grain=0.045)
    inner = sew(canvas, cloth, back, light=how, span=220, shift=(0, 40))
    canvas.shade(inner, 0.25)
    canvas.shade(canvas.cut(ellipse(320, 186, 130, 60), blur=24, within=inner), 0.55)
    for tail in _TAILS:
        _hang(canvas, cloth, tail)
    _wrap(canvas, cloth, front)
    return canvas


def _hang(canvas: Canvas, cloth: Cloth, tail: _Tail) -> None:
    shape = path(tail.shape)
    canvas.shade(canvas.cut(move(shape, 6, 8), blur=9), 0.35)
    _fringe(canvas, cloth, np.array(tail.left), np.array(tail.right), tail.hang)
    how = Light(round=26, bulge=0.5, edge=0.28, grain=0.045)
    part = sew(canvas, cloth, shape, light=how, turn=tail.turn, span=220)
    x = (tail.left[0] + tail.right[0]) / 2
    lines = [
        path(f"M{330 + k} 260 Q{(330 + x) / 2 + k * 1.3} 380 {x + k * 2.4} 540")
        for k in (-16, 4, 20)
    ]
    fold(canvas, *lines, width=11, depth=0.24, within=part)


def _wrap(canvas: Canvas, cloth: Cloth, front: Outline) -> None:
    """Draw the part of a looped scarf in front of the neck, with curved folds."""
    canvas.shade(canvas.cut(move(front, 0, 12), blur=10), 0.4)
    part = sew(
        canvas, cloth, front, light=Light(round=40, bulge=0.75, edge=0.3, grain=0.045), span=220
    )
    lines = [
        path("M176 96 C190 190 260 250 330 262 C390 256 440 210 466 150"),
        path("M204 92 C226 176 280 214 330 222 C380 214 416 180 440 112"),
        path("M158 150 C176 230 250 286 320 290"),
        path("M482 150 C462 230 410 270 350 284"),
    ]
    fold(canvas, *lines, width=15, depth=0.34, within=part)


def _folded_scarf(cloth: Cloth, size: int) -> Canvas:
    canvas = Canvas(size, WARM_PAPER, Pose(turn=-20, zoom=0.98, dy=-10))
    lower = path(
        "M150 110 C250 98 400 98 500 108 C506 220 506 360 500 470"
        " C400 482 250 482 150 472 C142 350 142 230 150 110 Z"
    )
    canvas.drop(lower, dx=13, dy=20, blur=17, strength=0.45)
    for k in (14, 7, 0):
        layer = move(lower, k * 0.7, k * 1.4)
        sew(
            canvas, cloth, layer, light=Light(round=16, bulge=0.6, edge=0.35, grain=0.045), span=220
        )
    top = path(
        "M176 94 C230 88 290 88 350 96 C356 220 356 360 352 520 L180 524 C172 380 172 230 176 94 Z"
    )
    canvas.shade(canvas.cut(move(top, 7, 6), blur=8), 0.4)
    _fringe(canvas, cloth, np.array((180.0, 522)), np.array((352.0, 518)), (4, 64))
    folds = ((230, 60, 222, 640, 14, 0.12), (300, 60, 310, 640, 16, -0.12))
    sew(
        canvas,
        cloth,
        top,
        light=Light(round=20, bulge=0.6, edge=0.3, creases=folds, grain=0.045),
        span=220,
        shift=(31, 12),
    )
    return canvas
