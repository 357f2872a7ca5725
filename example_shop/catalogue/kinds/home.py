"""Cushions, table lamps and wall clocks."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.backdrops import COOL_PAPER, EVENING, PAPER, STUDIO, WARM_PAPER
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Patch, Pose
from example_shop.catalogue.outlines import (
    Outline,
    ellipse,
    move,
    path,
    reflect,
    rotate,
    rounded,
    smooth,
)
from example_shop.catalogue.palette import rgb, shift
from example_shop.catalogue.patterns import Cloth

from .parts import BLACK, CREAM, STEEL, Place, lathe_outline, placed, sew, trim, tube, turn_on_lathe

_CUSHION_STAGES = (
    (STUDIO, Pose(zoom=1.03, dy=-4)),
    (WARM_PAPER, Pose(turn=14, zoom=0.95, squash=0.9)),
)
_LAMP_STAGES = ((STUDIO, Pose()), (EVENING, Pose(zoom=1.24, dy=60)))
_CLOCK_STAGES = ((PAPER, Pose(zoom=1.06)), (COOL_PAPER, Pose(zoom=1.05)))
_QUARTER = "M320 112 C400 110 478 104 534 84 C548 82 554 90 552 104 C538 170 532 250 532 320"
_PULLS = (
    (540, 96, 440, 190, 15, 0.26),
    (100, 96, 200, 190, 15, -0.26),
    (100, 544, 200, 450, 15, 0.24),
    (540, 544, 440, 450, 15, -0.24),
    (330, 120, 320, 240, 30, 0.08),
    (130, 320, 250, 310, 30, -0.08),
    (510, 330, 400, 320, 30, 0.08),
)
_BASE = (
    (368.0, 16.0),
    (376.0, 24.0),
    (392.0, 46.0),
    (420.0, 78.0),
    (452.0, 94.0),
    (484.0, 96.0),
    (520.0, 82.0),
    (552.0, 62.0),
    (568.0, 56.0),
    (574.0, 74.0),
    (590.0, 78.0),
)
_BRASS = np.array([0.75, 0.6, 0.34], np.float32)


def draw_cushion(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A square cushion, upright; second view: lying at an angle, from above."""
    canvas = Canvas(size, *_CUSHION_STAGES[view])
    quarter = path(_QUARTER)
    half = np.vstack([quarter, move(quarter * (1, -1), 0, 640)[::-1]])
    outline = np.vstack([half, reflect(half)[::-1]])
    if view == 0:
        canvas.ground(320, 548, 215, 17, 0.5)
    else:
        canvas.drop(outline, dx=14, dy=24, blur=22, strength=0.5)
    how = Light(round=30, bulge=0.32, edge=0.12, creases=_PULLS, grain=0.03)
    body = sew(canvas, cloth, outline, light=how, span=300)
    _plump(canvas, outline, body)
    piping = cloth.second if cloth.accent else shift(cloth.ground, -0.15)
    tube(canvas, piping, np.vstack([outline, outline[:1]]), width=8, gloss=0)
    return canvas


def _plump(canvas: Canvas, outline: Outline, body: Patch) -> None:
    """Shade the cushion as if full: dark at the lower right, light at the upper left."""
    low = outline[(outline - 320).sum(1) > 40]
    low = low[np.argsort(np.arctan2(low[:, 1] - 320, low[:, 0] - 320))]
    canvas.shade(canvas.line(low, width=96, blur=44, within=body), 0.55)
    canvas.shade(canvas.line(low, width=30, blur=16, within=body), 0.3)
    canvas.shade(
        canvas.line(np.vstack([outline, outline[:1]]), width=24, blur=18, within=body), 0.25
    )
    canvas.glow(canvas.cut(ellipse(235, 220, 130, 80, turn=-40), blur=52, within=body), 0.26)


def draw_lamp(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A table lamp with a fabric shade; second view: closer, switched on."""
    canvas = Canvas(size, *_LAMP_STAGES[view])
    if view == 1:
        canvas.glow(canvas.cut(ellipse(320, 190, 300, 250), blur=60), 0.55)
    canvas.ground(320, 716 if view == 1 else 590, 112, 14, 0.5)
    tube(canvas, _BRASS, np.array([[320.0, 280], [320, 372]]), width=13)
    turn_on_lathe(
        canvas, _base_cloth(cloth), 320, smooth(_BASE, closed=False), tilt=0.08, gloss=0.8
    )
    base = canvas.cut(lathe_outline(320, _BASE, 0.08))
    canvas.shade(canvas.cut(ellipse(320, 372, 110, 34), blur=16, within=base), 0.35)
    _shade(canvas, cloth, on=view == 1)
    return canvas


def _base_cloth(cloth: Cloth) -> Cloth:
    """The colour of the glazed base, given the cloth of the shade."""
    if cloth.accent and cloth.pattern != "leopard":
        return Cloth(colour=cloth.accent)
    return Cloth(colour="grey" if cloth.colour == "white" else "white")


def _shade(canvas: Canvas, cloth: Cloth, *, on: bool) -> None:
    tilt = 0.14 if on else 0.10
    azimuth = 300.0 if on else 0.0
    body = turn_on_lathe(
        canvas,
        cloth,
        320,
        [(86.0, 112.0), (330, 190.0)],
        tilt=tilt,
        span=340,
        azimuth=azimuth,
        gloss=0.12,
    )
    hole = canvas.cut(ellipse(320, 86, 110, 110 * tilt))
    canvas.paint(hole, CREAM * (1.0 if on else 0.86))
    if on:
        bulb = canvas.cut(ellipse(320, 240, 120, 110), blur=44, within=body)
        warm = np.array([0.6, 0.5, 0.32], np.float32)
        canvas.paint(bulb, np.minimum(cloth.ground * 0.5 + warm, 1), opacity=0.42)
    else:
        canvas.shade(canvas.cut(ellipse(320, 92, 96, 90 * tilt), blur=4, within=hole), 0.25)
    for hoop in (
        ellipse(320, 86, 112, 112 * tilt),
        ellipse(320, 330, 190, 190 * tilt, span=(0, 180)),
    ):
        canvas.paint(canvas.line(hoop, width=5), trim(cloth.ground, 0.17))


def draw_clock(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A round wall clock; second view: from the side, at another time."""
    canvas = Canvas(size, *_CLOCK_STAGES[view])
    squeeze = placed(wide=0.74 if view == 1 else 1)
    _frame(canvas, cloth, squeeze, deep=view == 1)
    face = squeeze(ellipse(320, 320, 222, 222))
    how = Light(round=10, bulge=-0.5, edge=0.25, grain=0.004)
    plate = sew(canvas, cloth, face, light=how, span=300)
    canvas.shade(canvas.line(move(face, 4, 6), width=18, blur=8, within=plate), 0.35)
    _dial(canvas, cloth, squeeze, hour=7.4 if view == 1 else 10.15)
    shine = squeeze(path("M150 250 C180 160 260 110 350 108 C260 150 200 220 180 330 Z"))
    canvas.glow(canvas.cut(shine, blur=10, within=plate), 0.16)
    return canvas


def _frame(canvas: Canvas, cloth: Cloth, squeeze: Place, *, deep: bool) -> None:
    """Draw the rim; `deep` shows its thickness, as seen from the side."""
    ink = BLACK
    if cloth.colour == "black":
        ink = _BRASS
    elif cloth.ground.mean() < 0.33:
        ink = rgb("white") * 0.93
    rim = squeeze(ellipse(320, 320, 252, 252))
    canvas.drop(rim, dx=16, dy=22, blur=18, strength=0.45)
    if deep:
        for step in range(18, 1, -1):
            canvas.paint(canvas.cut(move(rim, step, 0)), shift(ink, -0.16 - step * 0.005))
    front = canvas.cut(rim)
    canvas.paint(front, ink, canvas.light(front, Light(round=14, bulge=1.0, edge=0.3, grain=0)))


def _dial(canvas: Canvas, cloth: Cloth, squeeze: Place, hour: float) -> None:
    light = cloth.ground.mean() > 0.62 or cloth.pattern != "plain"
    ink = BLACK if light else rgb("white")
    if cloth.pattern != "plain":
        _chapter_ring(canvas, squeeze)
    marks: list[Outline] = []
    for tick in range(60):
        long, wide = _tick(tick)
        bar = rounded(320 - wide, 320 - 208, 320 + wide, 320 - 208 + long, 1)
        marks.append(squeeze(rotate(bar, 6 * tick, about=(320, 320))))
    canvas.paint(canvas.cut(*marks), ink)
    hands = [(hour * 30, 112, 8.5, 26), (hour % 1 * 360, 172, 6, 32)]
    for turn, reach, wide, tail in hands:
        hand = path(
            f"M{320 - wide} {320 + tail} L{320 + wide} {320 + tail}"
            f" L{320 + wide * 0.5} {320 - reach}"
            f" L{320 - wide * 0.5} {320 - reach} Z"
        )
        hand = squeeze(rotate(hand, turn, about=(320, 320)))
        canvas.shade(canvas.cut(move(hand, 5, 8), blur=4), 0.4)
        if cloth.pattern != "plain":
            canvas.paint(canvas.line(np.vstack([hand, hand[:2]]), width=4), CREAM)
        canvas.paint(canvas.cut(hand), ink)
    second = squeeze(rotate(rounded(318.4, 150, 321.6, 372, 1), 205, about=(320, 320)))
    reddish = cloth.colour in ("red", "burgundy", "pink", "orange")
    canvas.paint(canvas.cut(second), rgb("yellow" if reddish else "red"))
    hub = canvas.cut(squeeze(ellipse(320, 320, 13, 13)))
    canvas.paint(hub, STEEL, canvas.light(hub, Light(round=8, bulge=0.9, grain=0)))


def _tick(minute: int) -> tuple[float, float]:
    """Length and half the width of the mark of a minute."""
    if minute % 15 == 0:
        return 42, 5.5
    if minute % 5 == 0:
        return 30, 4.5
    return 10, 1.4


def _chapter_ring(canvas: Canvas, squeeze: Place) -> None:
    """Draw a white ring under the marks of a printed dial, so that the time is readable."""
    ring = canvas.cut(
        np.vstack(
            [squeeze(ellipse(320, 320, 222, 222)), squeeze(ellipse(320, 320, 158, 158))[::-1]]
        )
    )
    canvas.paint(ring, CREAM)
    edge = squeeze(ellipse(320, 320, 158, 158))
    canvas.shade(canvas.line(edge, width=3, blur=1.5), 0.4)
