"""Phone cases and notebooks."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.backdrops import COOL_PAPER, PAPER, WARM_PAPER
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Pose
from example_shop.catalogue.fields import smoothstep
from example_shop.catalogue.outlines import ellipse, move, path, rotate, rounded
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import BLACK, CREAM, GLASS, STEEL, sew, trim, tube

_STAGES = (
    (PAPER, Pose(turn=-4, zoom=0.98, dy=-8)),
    (WARM_PAPER, Pose(turn=24, zoom=0.92, squash=0.86, dx=-10)),
)
_ICONS = ((0.3, 0.8, 0.45), (0.95, 0.95, 0.95), (0.25, 0.55, 0.95), (0.98, 0.62, 0.2))


def draw_phone_case(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A phone case from behind; second view: next to a phone's screen."""
    if view == 0:
        canvas = Canvas(size, PAPER, Pose(zoom=1.04))
    else:
        first = Canvas(size, COOL_PAPER, Pose(turn=-12, zoom=0.86, dx=-112, dy=-14))
        _phone_front(first, cloth)
        canvas = first.posed(Pose(turn=9, zoom=0.9, dx=116, dy=18))
    _case_back(canvas, cloth)
    return canvas


def _case_back(canvas: Canvas, cloth: Cloth) -> None:
    whole = rounded(174, 34, 466, 606, 48)
    canvas.drop(whole, dx=12, dy=18, blur=15, strength=0.5)
    for x, y0, y1 in ((466, 180, 246), (174, 150, 190), (174, 206, 262)):
        key = canvas.cut(rounded(x - 5, y0, x + 5, y1, 4))
        canvas.paint(key, shift(cloth.ground, -0.25), canvas.light(key, Light(round=4, bulge=0.6)))
    body = sew(
        canvas, cloth, whole, light=Light(round=14, bulge=0.75, edge=0.3, grain=0.006), span=300
    )
    canvas.paint(
        canvas.line(rounded(181, 41, 459, 599, 42), width=2.4, blur=1),
        shift(cloth.ground, 0.5),
        opacity=0.35,
    )
    sheen = path("M174 34 L360 34 L190 606 L174 606 Z")
    canvas.glow(canvas.cut(sheen, blur=26, within=body), 0.10)
    _cameras(canvas, cloth)


def _cameras(canvas: Canvas, cloth: Cloth) -> None:
    rim, hole = rounded(196, 56, 338, 200, 38), rounded(202, 62, 332, 194, 33)
    canvas.shade(canvas.cut(move(rim, 2, 3), blur=4), 0.35)
    lip = canvas.cut(rim)
    canvas.paint(
        lip, shift(cloth.ground, -0.12), canvas.light(lip, Light(round=6, bulge=0.8, grain=0))
    )
    plate = canvas.cut(hole)
    canvas.paint(
        plate,
        np.array([0.17, 0.18, 0.20], np.float32),
        canvas.light(plate, Light(round=12, bulge=-0.5, grain=0)),
    )
    for x, y in ((238, 98), (238, 158), (296, 128)):
        ring = canvas.cut(ellipse(x, y, 27, 27))
        canvas.paint(ring, STEEL * 0.62, canvas.light(ring, Light(round=9, bulge=0.9, grain=0)))
        canvas.paint(canvas.cut(ellipse(x, y, 22, 22)), GLASS * 0.6)
        canvas.paint(canvas.cut(ellipse(x, y, 12, 12)), np.array([0.10, 0.13, 0.24], np.float32))
        canvas.glow(canvas.cut(ellipse(x - 6, y - 7, 6, 4, turn=-40), blur=1.6), 0.75)
    canvas.paint(canvas.cut(ellipse(300, 82, 8, 8)), CREAM)
    canvas.paint(canvas.cut(ellipse(300, 174, 5, 5)), BLACK)


def _phone_front(canvas: Canvas, cloth: Cloth) -> None:
    whole = rounded(174, 34, 466, 606, 48)
    canvas.drop(whole, dx=12, dy=18, blur=15, strength=0.5)
    sew(canvas, cloth, whole, light=Light(round=8, bulge=0.7, grain=0.006))
    canvas.paint(canvas.cut(rounded(183, 43, 457, 597, 40)), GLASS * 0.5)
    screen = canvas.cut(rounded(190, 50, 450, 590, 34))
    x, y = canvas.grid(screen)
    mix = smoothstep(40, 620, y + 0.3 * x)
    dusk, dawn = np.array([0.16, 0.24, 0.46], np.float32), np.array([0.86, 0.62, 0.60], np.float32)
    canvas.paint(screen, dusk[:, None, None] * (1 - mix) + dawn[:, None, None] * mix)
    hill = "M190 470 C250 420 300 440 340 470 C380 430 420 430 450 450 L450 590 L190 590 Z"
    canvas.paint(
        canvas.cut(path(hill), within=screen),
        np.array([0.18, 0.17, 0.30], np.float32),
        opacity=0.85,
    )
    canvas.paint(canvas.cut(rounded(282, 60, 358, 80, 10)), GLASS * 0.3)
    white = np.ones(3, np.float32)
    digits = [rounded(x, 142, x + 5, 200, 2) for x in (262, 290, 342, 370)]
    digits += [rounded(x, y, x + 28, y + 5, 2) for x in (262, 342) for y in (142, 168, 197)]
    canvas.paint(canvas.cut(*digits), white, opacity=0.9)
    canvas.paint(canvas.cut(ellipse(316, 160, 3, 3), ellipse(316, 182, 3, 3)), white, opacity=0.9)
    for k, colour in enumerate(_ICONS):
        icon = rounded(208 + k * 60, 522, 252 + k * 60, 566, 12)
        canvas.paint(canvas.cut(icon), np.array(colour, np.float32))
    canvas.glow(canvas.cut(path("M330 43 L457 43 L457 300 Z"), within=screen), 0.10)


def draw_notebook(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A bound notebook with an elastic band; second view: at an angle, with its pages and a pen."""
    canvas = Canvas(size, *_STAGES[view])
    depth = 26 if view == 1 else 7
    cover = rounded(146, 66, 494, 570, 14)
    canvas.drop(move(cover, depth, depth), dx=14, dy=20, blur=16, strength=0.45)
    canvas.paint(canvas.cut(move(cover, depth, depth)), shift(cloth.ground, -0.3))
    _pages(canvas, cloth, depth)
    how = Light(round=9, bulge=0.6, edge=0.22, grain=0.02)
    body = sew(canvas, cloth, cover, light=how, span=300)
    hinge = np.array([[182.0, 66], [182, 570]])
    canvas.shade(canvas.line(hinge, width=5, blur=3, within=body), 0.3)
    canvas.glow(canvas.line(move(hinge, 5, 0), width=2, blur=1.5, within=body), 0.25)
    sheen = path("M146 66 L420 66 L170 570 L146 570 Z")
    canvas.glow(canvas.cut(sheen, blur=50, within=body), 0.12)
    _band(canvas, cloth)
    if view == 1:
        _pen(canvas)
    return canvas


def _pages(canvas: Canvas, cloth: Cloth, depth: int) -> None:
    """Draw the pages under the cover, and the ribbon that hangs out of them."""
    for k in range(depth - 2, 2, -2):
        sheet = move(rounded(150, 70, 490, 566, 8), k, k)
        canvas.paint(canvas.cut(sheet), CREAM * (0.86 + 0.12 * (k // 2 % 2)))
    ribbon = path("M230 560 C232 590 226 606 230 626 L238 618 L245 626 C242 604 246 588 244 560 Z")
    canvas.paint(canvas.cut(move(ribbon, depth, depth)), cloth.second)


def _band(canvas: Canvas, cloth: Cloth) -> None:
    ink = cloth.second if cloth.accent else trim(cloth.ground, 0.45)
    band = np.array([[452.0, 63], [452, 573]])
    canvas.shade(canvas.line(move(band, 4, 2), width=11, blur=3), 0.35)
    patch = canvas.line(band, width=11)
    canvas.paint(patch, ink, canvas.light(patch, Light(round=6, bulge=0.6)))


def _pen(canvas: Canvas) -> None:
    line = rotate(np.array([[560.0, 130], [560, 500]]), 6, about=(560, 300))
    canvas.shade(canvas.line(move(line, 12, 12), width=16, blur=8), 0.4)
    tube(canvas, BLACK, line, width=18, gloss=0.6)
    tube(canvas, STEEL, line[-1] + np.array([[0.0, 0], [-3, 30]]), width=8)
    tube(canvas, STEEL, line[0] + np.array([[10.0, 4], [2, 90]]), width=5)
