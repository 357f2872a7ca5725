"""T-shirts and dresses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from example_shop.catalogue.backdrops import PAPER, WARM_PAPER
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Patch, Pose
from example_shop.catalogue.fields import Crease
from example_shop.catalogue.outlines import ellipse, mirrored, move, path, reflect
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import STEEL, WOOD, seam, sew, trim, tube

_SLEEVE = (
    "M418 108 C452 120 486 130 506 152 C540 186 566 244 588 300"
    " C566 322 536 334 508 338 C498 306 486 280 470 256 Z"
)
_COLLARS = ("M320 166 C352 164 378 144 386 102", "M320 122 C350 122 374 116 386 102")
_BODY = (
    " L420 108 C446 120 458 150 462 196 C466 236 468 258 470 280"
    " C464 350 468 470 476 574 C430 586 370 590 320 590"
)
_SLEEVE_FOLDS = ((470, 180, 560, 320, 14, 0.2), (500, 160, 530, 330, 12, -0.16))
_DARTS = (
    (380, 270, 372, 190, 10, 0.2),
    (262, 270, 270, 190, 10, -0.2),
    (420, 160, 350, 230, 18, 0.16),
    (220, 160, 290, 230, 18, -0.16),
)
_TEE_STAGES = (
    (PAPER, Pose(zoom=1.02, squash=1.08, dy=-14)),
    (WARM_PAPER, Pose(zoom=0.93, squash=1.06, dy=22, turn=3)),
)
_DRESS_STAGES = (
    (PAPER, Pose(zoom=1.02, dy=-8)),
    (WARM_PAPER, Pose(turn=17, dx=4, dy=-4, flip=True)),
)
_TEE_FOLDS = (
    (440, 230, 360, 330, 16, 0.22),
    (200, 235, 300, 340, 16, -0.20),
    (462, 300, 380, 400, 18, 0.16),
    (180, 310, 270, 430, 20, -0.14),
    (300, 380, 280, 590, 22, 0.14),
    (390, 400, 410, 590, 22, -0.13),
    (230, 470, 220, 590, 14, 0.13),
    (340, 170, 352, 260, 26, -0.08),
)


def draw_tshirt(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A T-shirt as if worn by an invisible body; second view: the back, on a wooden hanger."""
    canvas = Canvas(size, *_TEE_STAGES[view])
    sleeve, shape = path(_SLEEVE), mirrored(_COLLARS[view] + _BODY)
    canvas.drop(sleeve, reflect(sleeve), shape, dx=7, dy=12, blur=11, strength=0.25)
    if view == 1:
        _hanger(canvas)
    opening = mirrored("M320 96 C350 96 376 98 388 100 C384 140 356 172 320 172")
    canvas.paint(canvas.cut(opening), shift(cloth.ground, -0.28))
    for outline, turn, folds in (
        (sleeve, -26, _SLEEVE_FOLDS),
        (reflect(sleeve), 26, _mirror(_SLEEVE_FOLDS)),
    ):
        how = Light(round=30, bulge=0.4, edge=0.24, waves=0.013, creases=folds)
        sew(canvas, cloth, outline, light=how, turn=turn, span=300)
    how = Light(round=46, bulge=0.3, edge=0.16, waves=0.013, creases=_TEE_FOLDS)
    front = sew(canvas, cloth, shape, light=how, span=300)
    _tee_finish(canvas, cloth, front, canvas.cut(shape, opening), back=view == 1)
    return canvas


def _mirror(folds: Sequence[Crease]) -> list[Crease]:
    """The folds mirrored, but lit from the same side."""
    return [(640 - a, b, 640 - c, d, width, -depth) for a, b, c, d, width, depth in folds]


def _tee_finish(canvas: Canvas, cloth: Cloth, front: Patch, whole: Patch, *, back: bool) -> None:
    thread = trim(cloth.ground)
    collar = "M320 128 C350 128 372 122 387 100" if back else "M320 172 C354 170 380 148 388 100"
    half = path(collar)
    line = np.vstack([reflect(half)[::-1], half])
    band = canvas.line(line, width=15, within=whole)
    canvas.paint(
        band,
        cloth.second if cloth.pattern in ("striped", "dotted") else shift(cloth.ground, -0.06),
        canvas.light(band, Light(round=7, bulge=0.5, edge=0.3)),
    )
    seam(canvas, thread, move(line, 0, 9), within=front)
    hem = path("M164 560 C220 573 270 577 320 577 C370 577 420 573 476 560")
    seam(canvas, thread, hem, within=front, dash=5, width=1.4)
    arm = path("M420 110 C448 124 458 160 462 200 C466 236 468 258 470 276")
    canvas.shade(canvas.line(arm, reflect(arm), width=4, blur=3), 0.3)


def _hanger(canvas: Canvas) -> None:
    hook = path("M320 96 L320 66 C320 50 352 56 350 34 C348 8 308 8 306 34")
    tube(canvas, STEEL * 0.8, hook, width=6)
    tube(
        canvas,
        WOOD,
        path("M200 140 C250 108 290 94 320 92 C350 94 390 108 440 140"),
        width=17,
        gloss=0.2,
    )


_BODICE = (
    "M320 132 C346 130 366 108 372 62 L400 62 C404 110 416 136 436 152"
    " C430 196 414 236 404 268 C376 276 348 278 320 278"
)
_SKIRT = "M320 268 C350 268 380 266 405 260 C440 350 486 470 506 572 C450 596 386 604 320 604"
_FOLDS = (
    (330, 275, 330, 760, 12, 0.2),
    (290, 275, 250, 760, 14, -0.2),
    (355, 275, 400, 760, 14, 0.22),
    (265, 275, 190, 760, 14, 0.2),
    (380, 275, 470, 760, 15, -0.2),
    (310, 280, 292, 760, 11, 0.16),
    (345, 280, 362, 760, 10, -0.16),
)


def draw_dress(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A sleeveless summer dress; second view: lying at an angle, with the belt tied."""
    canvas = Canvas(size, *_DRESS_STAGES[view])
    bodice, skirt = mirrored(_BODICE), mirrored(_SKIRT)
    canvas.drop(bodice, skirt, dx=8, dy=12, blur=13, strength=0.25)
    back = canvas.cut(mirrored("M320 98 C346 98 366 84 376 62 L398 64 C398 120 360 150 320 150"))
    canvas.paint(back, shift(cloth.ground, -0.28))
    how = Light(round=40, bulge=0.4, edge=0.25, waves=0.013, creases=_FOLDS)
    sew(canvas, cloth, skirt, light=how, span=250)
    how = Light(round=40, bulge=0.42, edge=0.22, creases=_DARTS)
    top = sew(canvas, cloth, bodice, light=how, span=250)
    neck = path("M320 139 C350 137 372 112 379 62")
    seam(canvas, trim(cloth.ground), neck, reflect(neck), within=top)
    belt = mirrored("M320 256 C350 256 380 254 407 248 L404 280 C378 287 350 288 320 288")
    canvas.shade(canvas.cut(move(belt, 0, 5), blur=5), 0.3)
    band = canvas.cut(belt)
    canvas.paint(band, cloth.second, canvas.light(band, Light(round=14, bulge=0.5, edge=0.3)))
    if view == 1:
        _bow(canvas, cloth)
    return canvas


def _bow(canvas: Canvas, cloth: Cloth) -> None:
    loops = [path("M320 270 C350 230 392 232 394 262 C394 292 350 298 320 272 Z")]
    loops += [
        reflect(loops[0]),
        path("M322 272 C340 320 350 350 376 384 L348 392 C328 352 316 310 314 274 Z"),
        path("M318 272 C310 320 292 350 276 388 L252 376 C276 340 296 310 308 272 Z"),
    ]
    for loop in loops:
        canvas.shade(canvas.cut(move(loop, 3, 5), blur=4), 0.3)
        patch = canvas.cut(loop)
        canvas.paint(
            patch, cloth.second, canvas.light(patch, Light(round=16, bulge=0.65, edge=0.3))
        )
    knot = canvas.cut(ellipse(319, 271, 15, 14))
    canvas.paint(knot, cloth.second, canvas.light(knot, Light(round=12, bulge=0.6)))
