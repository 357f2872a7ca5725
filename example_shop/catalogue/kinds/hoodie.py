"""Hoodies."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.backdrops import COOL_PAPER, PAPER
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Patch, Pose
from example_shop.catalogue.outlines import Outline, ellipse, mirrored, move, path, reflect
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import CREAM, STEEL, fold, seam, sew, trim, tube

_STAGES = ((PAPER, Pose(dy=8, zoom=1.02)), (COOL_PAPER, Pose(turn=-8, dy=-14)))
_CREASES = (
    (440, 300, 350, 390, 18, 0.22),
    (200, 300, 290, 390, 18, -0.2),
    (300, 240, 290, 380, 24, 0.12),
    (470, 480, 380, 540, 14, 0.2),
    (170, 480, 260, 545, 14, -0.2),
    (350, 470, 360, 550, 14, 0.16),
)
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
    """A hoodie from the front; second view: the back with the hood down, at an angle."""
    canvas = Canvas(size, *_STAGES[view])
    sleeve, body = path(_LONG), mirrored(_HOODIE_BODY)
    cuff = path("M506 522 C526 532 556 530 574 516 L576 562 C560 574 528 576 510 568 Z")
    hem = mirrored("M320 544 C372 546 430 544 485 534 L482 588 C430 600 370 602 320 602")
    canvas.drop(sleeve, reflect(sleeve), body, hem, dx=8, dy=13, blur=12, strength=0.26)
    _sleeve(canvas, cloth, sleeve, cuff, side=1)
    _sleeve(canvas, cloth, reflect(sleeve), reflect(cuff), side=-1)
    _rib(canvas, cloth, hem)
    how = Light(round=54, bulge=0.42, edge=0.22, waves=0.013, creases=_CREASES)
    main = sew(canvas, cloth, body, light=how, shift=(90.0 * view, 40.0 * view))
    arm = path("M438 150 C470 176 480 230 482 320")
    canvas.shade(canvas.line(arm, reflect(arm), width=5, blur=4, within=main), 0.35)
    if view == 1:
        _hood_behind(canvas, cloth, main)
        return canvas
    _pocket(canvas, cloth, main)
    _hood(canvas, cloth)
    _cords(canvas, cloth)
    return canvas


def _hood_behind(canvas: Canvas, cloth: Cloth, main: Patch) -> None:
    """Draw the hood hanging down the back, with a seam along its middle."""
    outer = mirrored("M320 112 C372 110 410 120 428 150 C432 208 392 272 320 292")
    canvas.shade(canvas.cut(move(outer, 3, 10), blur=10, within=main), 0.42)
    how = Light(round=40, bulge=0.55, edge=0.28, waves=0.013)
    hood = sew(canvas, cloth, outer, light=how, shift=(70, 30))
    seam(canvas, trim(cloth.ground), path("M320 150 L320 292"), within=hood)
    folds = (
        path("M236 176 C262 226 296 240 320 244 C344 240 378 226 404 176"),
        path("M262 160 C284 190 304 200 320 202 C336 200 356 190 378 160"),
    )
    fold(canvas, *folds, width=14, depth=0.26, within=hood)
    mouth = canvas.cut(mirrored("M320 106 C366 104 398 112 412 128 C386 152 350 158 320 158"))
    canvas.paint(
        mouth, shift(cloth.ground, -0.42), canvas.light(mouth, Light(round=16, bulge=-0.4))
    )
    rim = path("M228 128 C254 152 290 158 320 158 C350 158 386 152 412 128")
    tube(canvas, shift(cloth.ground, -0.06), rim, width=13, gloss=0)


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
    """Draw a knitted band with narrow upright ribs in the main colour."""
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


def _cords(canvas: Canvas, cloth: Cloth) -> None:
    """Draw the two ends of the drawcord, with metal tips and eyelets."""
    ink = CREAM if cloth.ground.mean() < 0.75 else cloth.ground * 0.8
    for line in (
        path("M292 204 C287 240 290 262 286 296"),
        path("M346 204 C351 230 347 256 352 284"),
    ):
        canvas.shade(canvas.line(move(line, 3, 3), width=5, blur=2), 0.25)
        tube(canvas, ink, line, width=5.5, gloss=0)
        tube(canvas, STEEL, move(line[-3:], 0, 4), width=6, gloss=0.6)
    canvas.paint(canvas.cut(ellipse(292, 203, 5, 5), ellipse(346, 203, 5, 5)), STEEL * 0.75)
