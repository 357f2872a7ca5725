"""Cushions, table lamps and wall clocks."""

from __future__ import annotations

import numpy as np

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

from .parts import (
    BLACK,
    CREAM,
    STEEL,
    Place,
    lathe_outline,
    placed,
    sew,
    tube,
    turn_on_lathe,
)


def draw_cushion(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A square cushion standing; second view: lying at an angle, seen from above."""
    if view == 0:
        canvas = Canvas(size, floor=0.9, pose=Pose(zoom=1.03, dy=-4))
        canvas.ground(320, 548, 215, 17, 0.5)
    else:
        canvas = Canvas(
            size,
            horizon=None,
            wall=0.955,
            floor=0.89,
            tint=(1, 0.99, 0.975),
            pose=Pose(turn=14, zoom=0.95, squash=0.9),
        )
    quarter = "M320 112 C400 110 478 104 534 84 C548 82 554 90 552 104 C538 170 532 250 532 320"
    shape = np.vstack([path(quarter), (move(path(quarter) * (1, -1), 0, 640))[::-1]])
    outline = np.vstack([shape, reflect(shape)[::-1]])
    if view == 1:
        canvas.drop(outline, dx=14, dy=24, blur=22, strength=0.5)
    folds = [
        (540, 96, 440, 190, 15, 0.26),
        (100, 96, 200, 190, 15, -0.26),
        (100, 544, 200, 450, 15, 0.24),
        (540, 544, 440, 450, 15, -0.24),
        (330, 120, 320, 240, 30, 0.08),
        (130, 320, 250, 310, 30, -0.08),
        (510, 330, 400, 320, 30, 0.08),
    ]
    body = sew(
        canvas,
        cloth,
        outline,
        light=Light(round=30, bulge=0.32, edge=0.12, creases=folds, grain=0.03),
        span=300,
    )
    _plump(canvas, outline, body)
    piping = np.vstack([outline, outline[:1]])
    tube(
        canvas,
        cloth.second if cloth.accent else shift(cloth.ground, -0.15),
        piping,
        width=8,
        gloss=0,
    )
    return canvas


def _plump(canvas: Canvas, outline: Outline, body: Patch) -> None:
    """The volume of a full cushion: dark towards its lower right, light at its upper left."""
    low = outline[(outline - 320).sum(1) > 40]
    low = low[np.argsort(np.arctan2(low[:, 1] - 320, low[:, 0] - 320))]
    canvas.shade(canvas.line(low, width=96, blur=44, within=body), 0.55)
    canvas.shade(canvas.line(low, width=30, blur=16, within=body), 0.3)
    canvas.shade(
        canvas.line(np.vstack([outline, outline[:1]]), width=24, blur=18, within=body), 0.25
    )
    canvas.glow(canvas.cut(ellipse(235, 220, 130, 80, turn=-40), blur=52, within=body), 0.26)


def draw_lamp(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A table lamp with a shade of cloth; second view: switched on, seen from a lower stand."""
    on = view == 1
    canvas = (
        Canvas(size, floor=0.9)
        if not on
        else Canvas(
            size,
            wall=0.93,
            floor=0.86,
            tint=(1, 0.975, 0.93),
            horizon=0.8,
            pose=Pose(zoom=1.24, dy=60),
        )
    )
    if on:
        canvas.glow(canvas.cut(ellipse(320, 190, 300, 250), blur=60), 0.55)
    canvas.ground(320, 590 if not on else 716, 112, 14, 0.5)
    base_cloth = Cloth(
        colour=cloth.accent
        if cloth.accent and cloth.pattern != "leopard"
        else ("white" if cloth.colour != "white" else "grey")
    )
    tube(
        canvas,
        np.array([0.75, 0.6, 0.34], np.float32),
        np.array([[320.0, 280], [320, 372]]),
        width=13,
    )
    base = [
        (368.0, 16.0),
        (376, 24),
        (392, 46),
        (420, 78),
        (452, 94),
        (484, 96),
        (520, 82),
        (552, 62),
        (568, 56),
        (574, 74),
        (590, 78),
    ]
    turn_on_lathe(canvas, base_cloth, 320, smooth(base, closed=False), tilt=0.08, gloss=0.8)
    canvas.shade(
        canvas.cut(
            ellipse(320, 372, 110, 34), blur=16, within=canvas.cut(lathe_outline(320, base, 0.08))
        ),
        0.35,
    )
    shade = [(86.0, 112.0), (330, 190.0)]
    tilt = 0.10 if not on else 0.14
    body = turn_on_lathe(
        canvas, cloth, 320, shade, tilt=tilt, span=340, azimuth=300.0 * view, gloss=0.12
    )
    if on:
        bulb = canvas.cut(ellipse(320, 240, 120, 110), blur=44, within=body)
        canvas.paint(
            bulb,
            np.minimum(cloth.ground * 0.5 + np.array([0.6, 0.5, 0.32], np.float32), 1),
            opacity=0.42,
        )
    hole = canvas.cut(ellipse(320, 86, 110, 110 * tilt))
    canvas.paint(hole, CREAM * (1.0 if on else 0.86), None)
    canvas.shade(
        canvas.cut(ellipse(320, 92, 96, 90 * tilt), blur=4, within=hole), 0.0 if on else 0.25
    )
    lines = [ellipse(320, 86, 112, 112 * tilt), ellipse(320, 330, 190, 190 * tilt, span=(0, 180))]
    for line in lines:
        canvas.paint(
            canvas.line(line, width=5),
            shift(cloth.ground, -0.18 if cloth.ground.mean() > 0.3 else 0.15),
        )
    return canvas


def draw_clock(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A round wall clock; second view: seen from the side, another time."""
    if view == 0:
        canvas = Canvas(size, horizon=None, pose=Pose(zoom=1.06))
    else:
        canvas = Canvas(
            size,
            horizon=None,
            wall=0.95,
            floor=0.89,
            tint=(0.985, 0.99, 1),
            pose=Pose(turn=0, zoom=1.05, squash=1.0),
        )
    squeeze = placed(wide=0.74 if view else 1)
    rim = squeeze(ellipse(320, 320, 252, 252))
    canvas.drop(rim, dx=16, dy=22, blur=18, strength=0.45)
    frame = BLACK if cloth.colour != "black" else np.array([0.78, 0.62, 0.36], np.float32)
    frame = rgb("white") * 0.93 if cloth.ground.mean() < 0.33 and cloth.colour != "black" else frame
    for step in range(18 if view else 1):
        side = canvas.cut(move(rim, 18 - step, 0) if view else rim)
        canvas.paint(
            side, shift(frame, -0.25 + step * 0.005), None
        ) if view and step < 17 else canvas.paint(
            side, frame, canvas.light(side, Light(round=14, bulge=1.0, edge=0.3, grain=0))
        )
    face = squeeze(ellipse(320, 320, 222, 222))
    plate = sew(
        canvas, cloth, face, light=Light(round=10, bulge=-0.5, edge=0.25, grain=0.004), span=300
    )
    canvas.shade(canvas.line(move(face, 4, 6), width=18, blur=8, within=plate), 0.35)
    _dial(canvas, cloth, squeeze, hour=10.15 if view == 0 else 7.4)
    shine = squeeze(path("M150 250 C180 160 260 110 350 108 C260 150 200 220 180 330 Z"))
    canvas.glow(canvas.cut(shine, blur=10, within=plate), 0.16)
    return canvas


def _dial(canvas: Canvas, cloth: Cloth, squeeze: Place, hour: float) -> None:
    light = cloth.ground.mean() > 0.62 or cloth.pattern != "plain"
    ink = BLACK if light else rgb("white")
    if cloth.pattern != "plain":
        _chapter_ring(canvas, squeeze)
    marks: list[Outline] = []
    for tick in range(60):
        long, wide = (42, 5.5) if tick % 15 == 0 else (30, 4.5) if tick % 5 == 0 else (10, 1.4)
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
    red = rgb("red") if cloth.colour not in ("red", "burgundy", "pink", "orange") else rgb("yellow")
    canvas.paint(canvas.cut(second), red)
    hub = canvas.cut(squeeze(ellipse(320, 320, 13, 13)))
    canvas.paint(hub, STEEL, canvas.light(hub, Light(round=8, bulge=0.9, grain=0)))


def _chapter_ring(canvas: Canvas, squeeze: Place) -> None:
    """A white ring under the marks of a printed dial, so that the time can be read."""
    ring = canvas.cut(
        np.vstack(
            [squeeze(ellipse(320, 320, 222, 222)), squeeze(ellipse(320, 320, 158, 158))[::-1]]
        )
    )
    canvas.paint(ring, CREAM)
    edge = squeeze(ellipse(320, 320, 158, 158))
    canvas.shade(canvas.line(edge, width=3, blur=1.5), 0.4)
