"""Hoodies."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Patch, Pose
from example_shop.catalogue.outlines import (
    Outline,
    ellipse,
    mirrored,
    move,
    path,
    reflect,
)
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import (
    CREAM,
    STEEL,
    seam,
    sew,
    trim,
    tube,
)

_LAY = Pose(turn=-13, zoom=1.02, dx=-6, dy=4)
_HOOD = "M320 64 C372 62 420 84 428 128 C432 156 420 178 404 196 C380 216 350 226 320 228"
_HOODIE_BODY = (
    "M320 196 C352 190 384 176 402 142 L440 150"
    " C470 168 482 210 486 260 C488 300 488 330 486 360"
    " C484 430 484 490 484 540 C430 548 370 550 320 550"
)
_LONG = (
    "M436 148 C480 160 510 184 526 232 C548 310 566 420 574 520"
    " C560 530 524 534 506 528 C500 450 492 380 470 316 Z"
)


def draw_hoodie(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A hoodie from the front; second view: laid flat at an angle, one sleeve folded in."""
    canvas = (
        Canvas(size, horizon=None, pose=Pose(dy=8, zoom=1.02))
        if view == 0
        else Canvas(size, pose=_LAY, wall=0.95, floor=0.9, horizon=None, tint=(0.985, 0.99, 1))
    )
    sleeve, body = path(_LONG), mirrored(_HOODIE_BODY)
    cuff = path("M506 522 C526 532 556 530 574 516 L576 562 C560 574 528 576 510 568 Z")
    hem = mirrored("M320 544 C372 546 430 544 485 534 L482 588 C430 600 370 602 320 602")
    shapes = [sleeve, body, hem, mirrored(_HOOD)] + ([reflect(sleeve)] if view == 0 else [])
    canvas.drop(*shapes, dx=8, dy=13, blur=12, strength=0.26)
    _sleeve(canvas, cloth, sleeve, cuff, side=1)
    if view == 0:
        _sleeve(canvas, cloth, reflect(sleeve), reflect(cuff), side=-1)
    _rib(canvas, cloth, hem)
    creases = [
        (440, 300, 350, 390, 18, 0.22),
        (200, 300, 290, 390, 18, -0.2),
        (300, 240, 290, 380, 24, 0.12),
        (470, 480, 380, 540, 14, 0.2),
        (170, 480, 260, 545, 14, -0.2),
        (350, 470, 360, 550, 14, 0.16),
    ]
    front = sew(
        canvas,
        cloth,
        body,
        light=Light(round=54, bulge=0.42, edge=0.22, waves=0.013, creases=creases),
    )
    arm = path("M438 150 C470 176 480 230 482 320")
    canvas.shade(canvas.line(arm, reflect(arm), width=5, blur=4, within=front), 0.35)
    _pocket(canvas, cloth, front)
    _hood(canvas, cloth)
    if view == 1:
        _folded_sleeve(canvas, cloth)
    return canvas


def _sleeve(canvas: Canvas, cloth: Cloth, sleeve: Outline, cuff: Outline, *, side: int) -> None:
    def at(x: float) -> float:
        return x if side == 1 else 640 - x

    folds = [
        (at(480), 260, at(556), 330, 15, 0.22 * side),
        (at(490), 340, at(562), 390, 14, 0.2 * side),
        (at(500), 430, at(570), 440, 14, 0.2 * side),
        (at(505), 490, at(575), 480, 11, 0.18 * side),
    ]
    _rib(canvas, cloth, cuff)
    sew(
        canvas,
        cloth,
        sleeve,
        light=Light(round=38, bulge=0.6, edge=0.32, waves=0.013, creases=folds),
        turn=-12 * side,
    )


def _rib(canvas: Canvas, cloth: Cloth, outline: Outline) -> None:
    """A knitted band: narrow upright ribs in the main colour."""
    patch = canvas.cut(outline)
    x, _ = canvas.grid(patch)
    ribs = canvas.light(patch, Light(round=20, bulge=0.5, edge=0.3)) + 0.07 * np.sin(x * 0.95)
    canvas.paint(patch, shift(cloth.ground, -0.05), ribs.astype(np.float32))


def _pocket(canvas: Canvas, cloth: Cloth, front: Patch) -> None:
    outline = mirrored(
        "M320 398 L392 398 C410 440 430 468 446 484 L446 538 C400 543 360 544 320 544"
    )
    canvas.shade(canvas.cut(move(outline, 0, 3), blur=5, within=front), 0.28)
    sew(canvas, cloth, outline, light=Light(round=16, bulge=0.45, edge=0.18, waves=0.013, seed=2))
    slit = path("M392 400 C410 440 430 468 446 486")
    seam(
        canvas, trim(cloth.ground), move(slit, -7, 0), reflect(move(slit, -7, 0)), dash=5, width=1.4
    )
    seam(canvas, trim(cloth.ground), path("M250 406 L390 406"), dash=5, width=1.4)


def _hood(canvas: Canvas, cloth: Cloth) -> None:
    outer = mirrored(_HOOD)
    canvas.shade(canvas.cut(move(outer, 0, 7), blur=8), 0.3)
    folds = ((250, 90, 330, 215, 20, 0.2), (400, 90, 350, 215, 18, -0.18))
    hood = sew(
        canvas,
        cloth,
        outer,
        light=Light(round=44, bulge=0.62, edge=0.3, creases=folds),
        shift=(70, 30),
    )
    opening = mirrored("M320 98 C360 98 394 112 396 138 C392 164 356 190 320 208")
    inside = canvas.cut(opening, within=hood)
    canvas.paint(
        inside,
        shift(cloth.ground, -0.3),
        canvas.light(inside, Light(round=40, bulge=-0.5, edge=0.5)),
    )
    seam(canvas, trim(cloth.ground), opening, dash=5, width=1.4)
    for line in (
        path("M292 200 C286 250 290 290 284 340"),
        path("M346 200 C352 240 346 280 354 322"),
    ):
        canvas.shade(canvas.line(move(line, 4, 4), width=7, blur=3), 0.3)
        tube(
            canvas,
            CREAM if cloth.ground.mean() < 0.75 else cloth.ground * 0.75,
            line,
            width=7,
            gloss=0,
        )
        tube(canvas, STEEL, move(line[-3:], 0, 4), width=8, gloss=0.6)
    canvas.paint(canvas.cut(ellipse(292, 200, 6, 6), ellipse(346, 200, 6, 6)), STEEL * 0.75)


def _folded_sleeve(canvas: Canvas, cloth: Cloth) -> None:
    outline = path(
        "M204 150 C160 168 140 220 150 270 C160 330 240 420 330 470"
        " C346 462 362 436 362 420 C300 370 250 320 226 280 Z"
    )
    cuff = path("M326 466 C344 458 358 436 362 416 L398 440 C396 462 378 486 360 492 Z")
    canvas.shade(canvas.cut(move(outline, 6, 8), move(cuff, 6, 8), blur=8), 0.35)
    _rib(canvas, cloth, cuff)
    folds = (
        (160, 250, 230, 240, 14, 0.2),
        (180, 310, 250, 290, 14, 0.2),
        (250, 390, 300, 350, 13, 0.18),
    )
    sew(
        canvas,
        cloth,
        outline,
        light=Light(round=36, bulge=0.6, edge=0.32, waves=0.013, creases=folds),
        turn=40,
    )
