"""Mugs and water bottles."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.backdrops import COOL_PAPER, STUDIO
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Pose
from example_shop.catalogue.fields import smoothstep
from example_shop.catalogue.outlines import ellipse, path, rounded
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import BLACK, CREAM, lathe_outline, tube, turn_on_lathe

_COFFEE = np.array([0.20, 0.11, 0.06], np.float32)


def draw_mug(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A mug with its handle on the right; second view: full, from above, handle on the left."""
    from_above = view == 1
    if from_above:
        tilt, top, bottom = 0.40, 196, 436
        canvas = Canvas(size, STUDIO, Pose(flip=True, dx=16, zoom=1.16))
        canvas.ground(310, bottom + 150 * tilt + 8, 172, 26, 0.5)
    else:
        tilt, top, bottom = 0.17, 178, 486
        canvas = Canvas(size, STUDIO, Pose(dx=-24, zoom=1.16))
        canvas.ground(296, bottom + 150 * tilt + 2, 172, 26, 0.5)
    profile = [
        (top, 150.0),
        (top + 60, 149.0),
        (bottom - 44, 147.0),
        (bottom - 22, 143.0),
        (bottom - 8, 136.0),
        (bottom, 128.0),
    ]
    _handle(canvas, cloth, top, bottom)
    azimuth = 900 if from_above else 40
    body = turn_on_lathe(
        canvas, cloth, 300, profile, tilt=tilt, span=420, azimuth=azimuth, gloss=0.45
    )
    canvas.shade(
        canvas.cut(ellipse(300, bottom + 42 * tilt + 60, 150, 60), blur=22, within=body), 0.25
    )
    _mouth(canvas, cloth, top, tilt, filled=from_above)
    return canvas


def _handle(canvas: Canvas, cloth: Cloth, top: float, bottom: float) -> None:
    a, b = top + 62, bottom - 62
    loop = path(
        f"M430 {a} C500 {a - 22} 566 {a + 20} 560 {(a + b) / 2}"
        f" C554 {b - 8} 500 {b + 26} 424 {b + 8}"
    )
    tube(canvas, cloth.ground, loop, width=34, gloss=0.35)


def _mouth(canvas: Canvas, cloth: Cloth, top: float, tilt: float, *, filled: bool) -> None:
    lip = canvas.cut(ellipse(300, top, 150, 150 * tilt))
    canvas.paint(lip, shift(cloth.ground, 0.25))
    hole = canvas.cut(ellipse(300, top + 1.5, 141, 141 * tilt - 1))
    x, y = canvas.grid(hole)
    wall = 0.72 + 0.26 * smoothstep(-150, 150, x - 300) - 0.10 * smoothstep(0, 60, y - top)
    canvas.paint(hole, CREAM, wall)
    if filled:
        surface = canvas.cut(ellipse(300, top + 26, 131, 131 * tilt), within=hole)
        x, y = canvas.grid(surface)
        canvas.paint(surface, _COFFEE, 0.9 + 0.35 * smoothstep(-140, 160, x - 300 + (y - top)))
        canvas.glow(
            canvas.cut(ellipse(252, top + 8, 52, 11, turn=-12), blur=9, within=surface), 0.3
        )


def draw_bottle(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A steel water bottle, upright; second view: closer, lying at an angle."""
    if view == 1:
        canvas = Canvas(size, COOL_PAPER, Pose(turn=15, zoom=1.3, dx=14, dy=86))
        canvas.drop(
            lathe_outline(320, [(70, 50), (150, 50), (215, 92), (575, 90)], 0.1),
            dx=18,
            dy=24,
            blur=20,
        )
    else:
        canvas = Canvas(size, STUDIO)
        canvas.ground(330, 584, 104, 15, 0.55)
    profile = [
        (150.0, 56.0),
        (160, 58),
        (178, 68),
        (196, 82),
        (212, 89),
        (232, 92),
        (545, 92),
        (568, 90),
        (578, 84),
    ]
    turn_on_lathe(canvas, cloth, 320, profile, tilt=0.06, span=330, azimuth=500.0 * view, gloss=0.7)
    steel = Cloth(colour="grey")
    ring = [(140.0, 52.0), (152, 54)]
    turn_on_lathe(canvas, steel, 320, ring, tilt=0.06, gloss=1)
    _lid(canvas)
    return canvas


def _lid(canvas: Canvas) -> None:
    loop = path("M276 96 C276 36 292 24 320 24 C348 24 364 36 364 96")
    tube(canvas, BLACK, loop, width=17, gloss=0.3)
    black = Cloth(colour="black")
    turn_on_lathe(
        canvas, black, 320, [(84.0, 52.0), (90, 57), (138, 58), (142, 56)], tilt=0.07, gloss=0.6
    )
    canvas.paint(canvas.cut(ellipse(320, 86, 51, 4.5)), shift(BLACK, 0.2))
    for x in range(-48, 49, 12):
        at = 320 + 57 * np.sin(x / 34)
        canvas.shade(canvas.cut(rounded(at - 1.4, 96, at + 1.4, 134, 1)), 0.5)
