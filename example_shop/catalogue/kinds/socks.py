"""Socks."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.backdrops import PAPER, WARM_PAPER
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Patch, Pose
from example_shop.catalogue.fields import Field
from example_shop.catalogue.outlines import Outline, ellipse, move, path, reflect, rotate
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import Place, seam, sew, trim

_STAGES = ((PAPER, Pose(dx=-30)), (WARM_PAPER, Pose(zoom=0.92)))
_FOLDS = (
    (215, 350, 330, 350, 13, 0.2),
    (220, 390, 340, 372, 13, 0.18),
    (240, 300, 330, 310, 12, -0.12),
)
_HEEL_AND_TOE = (
    "M200 410 C240 404 262 420 262 452 L250 480 L180 440 Z",
    "M452 420 C424 460 420 520 432 560 L530 570 L530 430 Z",
)
_SOCK = (
    "M214 78 C250 68 300 68 334 78 C338 150 330 240 338 320 C344 360 372 388 420 418"
    " C470 448 512 470 514 510 C512 548 470 560 430 552 C370 540 300 508 250 460"
    " C212 424 206 380 212 320 C220 240 212 150 214 78 Z"
)


def draw_socks(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A pair of socks, one over the other; second view: side by side, toes outwards."""
    canvas = Canvas(size, *_STAGES[view])
    for place, turn in _PLACES[view]:
        _sock(canvas, cloth, place, turn)
    return canvas


def _laid(turn: float, dx: float, dy: float, *, mirror: bool = False) -> Place:
    def place(outline: Outline) -> Outline:
        moved = move(rotate(outline, turn, about=(320, 300)), dx, dy)
        return reflect(moved, axis=325) if mirror else moved

    return place


_PLACES = (
    ((_laid(-9, 70, -14), -9.0), (_laid(6, -30, 8), 6.0)),
    ((_laid(-12, 90, 14), -12.0), (_laid(-12, 90, 4, mirror=True), 12.0)),
)


def _sock(canvas: Canvas, cloth: Cloth, place: Place, turn: float) -> None:
    whole = place(path(_SOCK))
    canvas.drop(whole, dx=7, dy=11, blur=10, strength=0.36)
    folds = [
        (*place(np.array([[a, b], [c, d]], float)).reshape(-1), w, k) for a, b, c, d, w, k in _FOLDS
    ]
    how = Light(round=40, bulge=0.6, edge=0.25, creases=folds, grain=0.025)
    body = sew(canvas, cloth, whole, light=how, span=220, turn=turn)
    second = cloth.second if cloth.accent else shift(cloth.ground, -0.12)
    for outline in _HEEL_AND_TOE:
        part = canvas.cut(place(path(outline)), blur=0.6, within=body)
        if cloth.accent:
            how = Light(round=30, bulge=0.5, edge=0.25, grain=0.025)
            canvas.paint(part, second, canvas.light(part, how))
        seam(canvas, trim(second), place(path(outline.split("L")[0])), within=body)
    _cuff(canvas, second if cloth.accent else cloth.ground, place, turn, body)
    canvas.shade(canvas.cut(place(ellipse(274, 79, 58, 5))), 0.45)


def _cuff(canvas: Canvas, ink: Field, place: Place, turn: float, body: Patch) -> None:
    """Draw the ribbed top of a sock."""
    cuff = canvas.cut(place(path("M200 60 L350 60 L350 128 L200 128 Z")), within=body)
    x, y = canvas.grid(cuff)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    ribs = canvas.light(cuff, Light(round=20, bulge=0.4)) + 0.09 * np.sin((c * x + s * y) * 0.85)
    canvas.paint(cuff, ink, ribs.astype(np.float32))
    seam(canvas, trim(ink), place(np.array([[210.0, 128], [336, 128]])), within=body)
