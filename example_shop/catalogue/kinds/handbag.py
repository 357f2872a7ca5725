"""Handbags."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.backdrops import STUDIO, WARM_STUDIO
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Pose
from example_shop.catalogue.fields import Field
from example_shop.catalogue.outlines import ellipse, mirrored, move, path, rounded
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import Place, placed, seam, sew, trim, tube

_STAGES = ((STUDIO, Pose(dy=-6)), (WARM_STUDIO, Pose(dx=-10, dy=-12, zoom=1.1, flip=True)))
_SHADOWS = ((320, 556, 232, 16), (324, 580, 250, 18))
_TABS = ((206, 434), (154, 378))
_HANDLES = (
    "M206 270 C206 90 246 56 320 56 C394 56 434 90 434 270",
    "M150 240 C140 120 190 96 250 96 C320 96 370 130 380 240",
)
_FOLDS = (
    (320, 200, 320, 420, 60, 0.04),
    (150, 330, 240, 520, 30, 0.08),
    (490, 330, 400, 520, 30, -0.08),
)
_GOLD = np.array([0.83, 0.67, 0.36], np.float32)


def draw_handbag(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A structured handbag with two handles; second view: turned to show a side."""
    canvas = Canvas(size, *_STAGES[view])
    canvas.ground(*_SHADOWS[view], 0.55)
    handle = path(_HANDLES[view])
    dark = shift(cloth.ground, -0.3) if cloth.pattern == "plain" else cloth.second
    tube(canvas, shift(dark, -0.3), move(handle, 14, -14), width=15, gloss=0.2)
    if view == 1:
        _gusset(canvas, cloth)
    place = placed(wide=0.82, dx=-52, dy=10) if view == 1 else placed()
    _panel(canvas, cloth, dark, place)
    _clasp(canvas, dark, place)
    tube(canvas, dark, handle, width=16, gloss=0.35)
    for x in _TABS[view]:
        _tab(canvas, dark, x)
    return canvas


def _tab(canvas: Canvas, ink: Field, x: float) -> None:
    """Draw the leather tab and the ring at one end of a handle."""
    tab = rounded(x - 17, 236, x + 17, 318, 12)
    canvas.shade(canvas.cut(move(tab, 2, 4), blur=4), 0.35)
    patch = canvas.cut(tab)
    canvas.paint(patch, ink, canvas.light(patch, Light(round=10, bulge=0.5)))
    canvas.paint(canvas.cut(ellipse(x, 298, 7, 7)), _GOLD)
    tube(canvas, _GOLD, ellipse(x, 240, 15, 13), width=6, gloss=0.7)


def _clasp(canvas: Canvas, ink: Field, place: Place) -> None:
    flap = place(rounded(290, 232, 350, 316, 14))
    canvas.shade(canvas.cut(move(flap, 2, 5), blur=5), 0.4)
    patch = canvas.cut(flap)
    canvas.paint(patch, ink, canvas.light(patch, Light(round=14, bulge=0.5)))
    lock = canvas.cut(place(rounded(304, 276, 336, 304, 6)))
    canvas.paint(lock, _GOLD, canvas.light(lock, Light(round=8, bulge=0.9, grain=0)))


def _gusset(canvas: Canvas, cloth: Cloth) -> None:
    side = path(
        "M404 248 C430 240 452 236 472 238 C470 330 480 430 500 520 C486 540 460 560 430 566 Z"
    )
    patch = sew(
        canvas,
        cloth,
        side,
        light=Light(round=26, bulge=0.4, creases=((446, 200, 458, 600, 20, 0.5),)),
        shift=(50, 0),
    )
    canvas.shade(patch, 0.3)
    canvas.shade(canvas.cut(path("M126 248 C230 232 380 228 472 238 L410 256 Z")), 0.65)


def _panel(canvas: Canvas, cloth: Cloth, dark: Field, place: Place) -> None:
    front = place(
        mirrored(
            "M320 232 C400 232 460 232 494 238 C510 340 528 450 536 520"
            " C536 546 520 554 496 556 C430 560 370 560 320 560"
        )
    )
    body = sew(
        canvas,
        cloth,
        front,
        light=Light(round=44, bulge=0.5, edge=0.28, creases=_FOLDS, waves=0.012, grain=0.018),
        span=270,
    )
    canvas.glow(canvas.cut(place(ellipse(240, 320, 60, 110, turn=14)), blur=36, within=body), 0.13)
    base = place(mirrored("M320 500 C400 500 470 498 560 490 L560 580 L320 580"))
    strip = canvas.cut(base, within=body)
    canvas.paint(strip, dark, canvas.light(strip, Light(round=30, bulge=0.3)))
    seam(
        canvas,
        trim(dark, 0.35),
        place(path("M110 492 C200 506 440 506 530 492")),
        within=body,
        dash=6,
        width=1.6,
    )
    edge = place(mirrored("M320 246 C400 246 450 246 482 250 C498 340 512 430 520 494"))
    seam(canvas, trim(cloth.ground, 0.3), edge, within=body, dash=6, width=1.6)
