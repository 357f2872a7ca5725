"""Socks."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Pose
from example_shop.catalogue.outlines import (
    ellipse,
    move,
    path,
    reflect,
    rotate,
)
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import (
    Place,
    seam,
    sew,
    trim,
)

_SOCK = (
    "M214 78 C250 68 300 68 334 78 C338 150 330 240 338 320 C344 360 372 388 420 418"
    " C470 448 512 470 514 510 C512 548 470 560 430 552 C370 540 300 508 250 460"
    " C212 424 206 380 212 320 C220 240 212 150 214 78 Z"
)


def draw_socks(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A pair of socks, one over the other; second view: spread apart, toes outward."""
    if view == 0:
        canvas = Canvas(size, horizon=None, pose=Pose(dx=-30))
        places = [
            lambda o: move(rotate(o, -9, about=(320, 300)), 70, -14),
            lambda o: move(rotate(o, 6, about=(320, 300)), -30, 8),
        ]
    else:
        canvas = Canvas(
            size, horizon=None, wall=0.955, floor=0.9, tint=(1, 0.992, 0.98), pose=Pose(zoom=0.92)
        )
        places = [
            lambda o: move(rotate(o, -12, about=(320, 300)), 90, 14),
            lambda o: reflect(move(rotate(o, -12, about=(320, 300)), 90, 4), axis=325),
        ]
    for k, place in enumerate(places):
        _sock(canvas, cloth, place, turn=(-9, 6)[k] if view == 0 else (-12, 12)[k])
    return canvas


def _sock(canvas: Canvas, cloth: Cloth, place: Place, turn: float) -> None:
    whole = place(path(_SOCK))
    canvas.drop(whole, dx=7, dy=11, blur=10, strength=0.36)
    folds = tuple(
        (*place(np.array([[a, b], [c, d]], float)).reshape(-1), w, k)
        for a, b, c, d, w, k in (
            (215, 350, 330, 350, 13, 0.2),
            (220, 390, 340, 372, 13, 0.18),
            (240, 300, 330, 310, 12, -0.12),
        )
    )
    body = sew(
        canvas,
        cloth,
        whole,
        light=Light(round=40, bulge=0.6, edge=0.25, creases=folds, grain=0.025),
        span=220,
        turn=turn,
    )
    second = cloth.second if cloth.accent else shift(cloth.ground, -0.12)
    for outline in (
        "M200 410 C240 404 262 420 262 452 L250 480 L180 440 Z",
        "M452 420 C424 460 420 520 432 560 L530 570 L530 430 Z",
    ):
        part = canvas.cut(place(path(outline)), blur=0.6, within=body)
        if cloth.accent:
            canvas.paint(
                part, second, canvas.light(part, Light(round=30, bulge=0.5, edge=0.25, grain=0.025))
            )
        seam(canvas, trim(second), place(path(outline.split("L")[0])), within=body)
    cuff = canvas.cut(place(path("M200 60 L350 60 L350 128 L200 128 Z")), within=body)
    x, y = canvas.grid(cuff)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    ribs = canvas.light(cuff, Light(round=20, bulge=0.4)) + 0.09 * np.sin((c * x + s * y) * 0.85)
    canvas.paint(cuff, second if cloth.accent else cloth.ground, ribs.astype(np.float32))
    seam(canvas, trim(second), place(np.array([[210.0, 128], [336, 128]])), within=body)
    canvas.shade(canvas.cut(place(ellipse(274, 79, 58, 5))), 0.45)
