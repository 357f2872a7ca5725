"""Backpacks."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.backdrops import COOL_STUDIO, STUDIO
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Patch, Pose
from example_shop.catalogue.fields import Field
from example_shop.catalogue.outlines import Outline, mirrored, move, path, reflect, rounded
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import BLACK, STEEL, Place, placed, seam, sew, trim, tube

_STAGES = ((STUDIO, Pose(dy=2)), (COOL_STUDIO, Pose(dx=-12, turn=-2)))
_SHADOWS = ((320, 588, 186, 16), (350, 590, 190, 18))
_FOLDS = ((180, 260, 250, 330, 18, 0.12), (460, 250, 400, 330, 18, -0.12))
_LEATHER = np.array([0.55, 0.36, 0.2], np.float32)
_BODY = (
    "M320 62 C410 60 466 88 480 170 C494 280 502 420 500 540"
    " C498 574 474 588 430 590 C390 592 350 592 320 592"
)
_POCKET = "M320 336 C380 334 430 336 452 346 C464 420 466 500 462 552 C440 566 380 570 320 570"
_STITCHING = "M320 346 C380 344 424 346 444 354 C455 424 457 500 453 544 C436 557 380 560 320 560"


def draw_backpack(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A backpack from the front; second view: turned to show its side and a strap."""
    canvas = Canvas(size, *_STAGES[view])
    canvas.ground(*_SHADOWS[view], 0.5)
    webbing = shift(cloth.ground, -0.35 if cloth.ground.mean() > 0.2 else 0.08)
    _straps(canvas, webbing, view)
    loop = path("M268 96 C270 40 288 30 320 30 C352 30 370 40 372 96")
    tube(canvas, webbing, move(loop, -30.0 * view, 0), width=18, gloss=0)
    if view == 1:
        _side(canvas, cloth)
    _front(canvas, cloth, placed(wide=0.8, dx=-52) if view == 1 else placed())
    return canvas


def _straps(canvas: Canvas, ink: Field, view: int) -> None:
    if view == 0:
        strap = path("M452 130 C520 180 530 330 506 470 C500 520 490 550 470 570")
        lines = [strap, reflect(strap)]
    else:
        lines = [path("M440 90 C560 110 596 260 566 420 C556 490 530 540 500 560")]
    for line in lines:
        patch = canvas.line(line, width=38)
        canvas.paint(patch, ink, canvas.light(patch, Light(round=18, bulge=0.6)))
        seam(canvas, trim(ink, 0.3), line, dash=6, width=1.4)


def _side(canvas: Canvas, cloth: Cloth) -> None:
    side = path(
        "M360 74 C440 76 488 100 500 170 C514 300 520 460 506 560 C500 584 470 590 400 586 Z"
    )
    folds = ((470, 200, 450, 380, 26, 0.15),)
    sew(
        canvas,
        cloth,
        side,
        light=Light(round=34, bulge=0.5, edge=0.3, creases=folds),
        shift=(60, 0),
    )
    canvas.shade(canvas.cut(side), 0.22)
    pocket = path("M420 420 C450 430 490 428 516 412 L506 566 C500 584 470 590 420 586 Z")
    canvas.shade(canvas.cut(move(pocket, 0, -5), blur=5), 0.3)
    patch = sew(canvas, cloth, pocket, light=Light(round=20, bulge=0.5))
    canvas.shade(patch, 0.2)
    canvas.paint(canvas.line(path("M420 420 C450 430 490 428 516 412"), width=8), BLACK)


def _front(canvas: Canvas, cloth: Cloth, place: Place) -> None:
    how = Light(round=64, bulge=0.62, edge=0.3, creases=_FOLDS, waves=0.01)
    whole = sew(canvas, cloth, place(mirrored(_BODY)), light=how, span=280)
    arch = place(mirrored("M320 92 C396 92 436 116 446 186 C452 230 454 270 456 300"))
    _zip(canvas, arch, whole)
    _pocket(canvas, cloth, place, whole)
    label = place(rounded(282, 222, 358, 262, 5))
    canvas.shade(canvas.cut(move(label, 1, 3), blur=3), 0.35)
    patch = canvas.cut(label)
    canvas.paint(patch, _LEATHER, canvas.light(patch, Light(round=8, bulge=0.4)))
    canvas.shade(canvas.line(place(np.array([[298.0, 242], [342, 242]])), width=5), 0.4)


def _pocket(canvas: Canvas, cloth: Cloth, place: Place, whole: Patch) -> None:
    outline = place(mirrored(_POCKET))
    canvas.shade(canvas.cut(move(outline, 0, 4), blur=8, within=whole), 0.4)
    how = Light(round=36, bulge=0.65, edge=0.3, waves=0.01)
    front = sew(canvas, cloth, outline, light=how, span=280, shift=(40, 60))
    _zip(canvas, place(mirrored("M320 372 C380 370 420 372 446 380"))[:32], front)
    _zip(canvas, place(path("M194 384 C260 370 380 370 446 384")), front)
    seam(canvas, trim(cloth.ground), place(mirrored(_STITCHING)), dash=6, width=1.4)


def _zip(canvas: Canvas, line: Outline, within: Patch) -> None:
    canvas.shade(canvas.line(move(line, 0, 2), width=13, blur=3, within=within), 0.35)
    canvas.paint(canvas.line(line, width=9, within=within), BLACK)
    canvas.paint(canvas.line(line, width=4, within=within, dash=2), STEEL)
    x, y = line[-1]
    tag = path(f"M{x - 4} {y} L{x + 4} {y} L{x + 6} {y + 26} L{x - 6} {y + 26} Z")
    canvas.shade(canvas.cut(move(tag, 2, 3), blur=2), 0.3)
    canvas.paint(canvas.cut(tag), BLACK)
