"""Armchairs."""

from __future__ import annotations

from example_shop.catalogue.backdrops import STUDIO, WARM_STUDIO
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Pose
from example_shop.catalogue.outlines import ellipse, move, path, reflect, rotate
from example_shop.catalogue.patterns import Cloth

from .parts import CREAM, WOOD, seam, sew, trim

_STAGES = ((STUDIO, Pose()), (WARM_STUDIO, Pose(zoom=1.1, dx=-20, dy=4, flip=True)))
_SHADOWS = ((320, 592, 220, 17), (290, 618, 240, 20))
_BACK = (
    "M166 400 C150 250 150 150 170 104 C186 74 250 66 320 66"
    " C390 66 454 74 470 104 C490 150 490 250 474 400 Z"
)
_FRAME = "M120 430 L520 430 L516 510 C516 524 506 530 490 530 L150 530 C134 530 124 524 124 510 Z"
_SEAT = (
    "M164 372 C170 352 190 346 230 344 C300 340 370 340 420 346 C456 350 474 356 478 376"
    " C486 410 488 430 482 450 C470 470 420 472 320 472 C220 472 170 470 160 450"
    " C154 430 156 400 164 372 Z"
)


def draw_armchair(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """An armchair on wooden legs; second view: closer, from the other side, with a cushion."""
    canvas = Canvas(size, *_STAGES[view])
    canvas.ground(*_SHADOWS[view], 0.45)
    lean = 34 * view
    _legs(canvas)
    _backrest(canvas, cloth, lean)
    sew(canvas, cloth, path(_FRAME), light=Light(round=20, bulge=0.4), shift=(0, 30), span=280)
    seat = path(_SEAT)
    canvas.shade(canvas.cut(move(seat, 0, 10), blur=8), 0.4)
    how = Light(round=46, bulge=0.9, edge=0.34, grain=0.03, waves=0.01)
    sew(canvas, cloth, seat, light=how, shift=(30, 80), span=280)
    seam(canvas, trim(cloth.ground), path("M160 420 C220 438 420 438 482 420"))
    _arms(canvas, cloth)
    if view == 1:
        _small_cushion(canvas, cloth)
    return canvas


def _legs(canvas: Canvas) -> None:
    for x, foot, y in ((150, -14, 596), (490, 14, 596), (208, -4, 566), (432, 4, 566)):
        leg = path(f"M{x - 13} 500 L{x + 13} 500 L{x + foot + 7} {y} L{x + foot - 7} {y} Z")
        patch = canvas.cut(leg)
        canvas.paint(patch, WOOD * 0.75, canvas.light(patch, Light(round=10, bulge=0.8)))


def _backrest(canvas: Canvas, cloth: Cloth, lean: float) -> None:
    """Draw the back with its channels, darker behind the seat."""
    middle = 320 + lean
    channels = [
        (middle + d, 80, middle + d * 0.9, 480, 12, 0.2 if d > 0 else -0.2)
        for d in (-84, -28, 28, 84)
    ]
    how = Light(round=52, bulge=0.7, edge=0.3, creases=channels, grain=0.03)
    rest = sew(canvas, cloth, move(path(_BACK), lean, 0), light=how, span=280)
    behind = move(path("M150 340 L490 340 L490 440 L150 440 Z"), lean, 0)
    canvas.shade(canvas.cut(behind, blur=24, within=rest), 0.45)


def _arms(canvas: Canvas, cloth: Cloth) -> None:
    arm = path(
        "M96 316 C96 280 118 262 146 264 C176 266 190 290 188 322"
        " C182 400 182 470 184 528 C160 536 132 534 116 524"
        " C106 450 98 380 96 316 Z"
    )
    for outline, k in ((arm, 1), (reflect(arm), -1)):
        canvas.shade(canvas.cut(move(outline, 6 * k, 4), blur=9), 0.35)
        sew(
            canvas,
            cloth,
            outline,
            light=Light(round=34, bulge=0.75, edge=0.32, grain=0.03),
            turn=4 * k,
            shift=(12, 40),
            span=280,
        )
        scroll = ellipse(142 if k == 1 else 498, 308, 33, 36)
        seam(canvas, trim(cloth.ground), scroll)


def _small_cushion(canvas: Canvas, cloth: Cloth) -> None:
    square = path(
        "M244 232 C242 222 250 216 260 220 C305 230 345 230 390 216"
        " C400 214 408 220 406 230 C396 270 396 310 406 350"
        " C408 360 400 366 390 364 C345 352 305 352 260 364"
        " C250 366 242 360 244 350 C254 310 254 270 244 232 Z"
    )
    square = rotate(square, 14, about=(325, 290))
    canvas.shade(canvas.cut(move(square, 6, 10), blur=9), 0.4)
    patch = canvas.cut(square)
    ink = CREAM if cloth.ground.mean() < 0.75 else cloth.second
    canvas.paint(patch, ink, canvas.light(patch, Light(round=18, bulge=0.6, edge=0.15, grain=0.03)))
    canvas.shade(canvas.cut(ellipse(370, 340, 60, 40, turn=-40), blur=18, within=patch), 0.3)
