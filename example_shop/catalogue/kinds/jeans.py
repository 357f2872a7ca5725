"""Jeans."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.backdrops import PAPER, WARM_PAPER
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Pose
from example_shop.catalogue.outlines import ellipse, mirrored, move, path, reflect, rounded
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import placed, seam, sew

_STAGES = (
    (PAPER, Pose(zoom=0.95, squash=1.15, dy=-14)),
    (WARM_PAPER, Pose(zoom=0.93, squash=1.14, turn=-12, dy=-8)),
)
_FOLDS = (
    (10, 270, 100, 230, 12, 0.2),
    (10, 290, 110, 300, 12, 0.14),
    (30, 400, 120, 380, 12, 0.16),
    (30, 430, 125, 425, 12, 0.16),
    (35, 560, 120, 545, 9, 0.2),
    (35, 582, 125, 572, 8, 0.2),
)
_THREAD = np.array([0.80, 0.58, 0.28], np.float32)
_BRASS = np.array([0.74, 0.55, 0.30], np.float32)
_LEG = (
    "M320 66 L420 64 C432 110 446 160 450 220 C456 330 452 460 444 596 L354 600"
    " C350 480 340 360 328 270 L320 258 Z"
)


def draw_jeans(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """Jeans from the front; second view: from behind, lying at an angle."""
    canvas = Canvas(size, *_STAGES[view])
    right = path(_LEG)
    canvas.drop(right, reflect(right), dx=8, dy=12, blur=11, strength=0.3)
    inside = canvas.cut(path("M220 64 Q320 54 420 64 Q320 88 220 64 Z"))
    canvas.paint(inside, shift(cloth.ground, -0.45))
    for side in (-1, 1):
        _leg(canvas, cloth, side)
    canvas.shade(canvas.line(path("M320 258 L320 150"), width=3, blur=2), 0.35)
    if view == 0:
        _front(canvas, cloth)
    else:
        _behind(canvas, cloth)
    _waistband(canvas, cloth, button=view == 0)
    return canvas


def _leg(canvas: Canvas, cloth: Cloth, side: int) -> None:
    """Draw the leg on the right (side 1) or on the left (side -1) of the image."""
    place = placed(wide=side)
    folds = [
        (320 + side * a, b, 320 + side * c, d, width, side * k) for a, b, c, d, width, k in _FOLDS
    ]
    how = Light(round=40, bulge=0.55, edge=0.28, creases=folds, grain=0.035)
    leg = sew(canvas, cloth, place(path(_LEG)), light=how, span=260)
    if cloth.pattern == "plain":
        worn = [place(ellipse(388, 330, 24, 130)), place(ellipse(388, 180, 30, 60))]
        canvas.paint(canvas.cut(*worn, blur=20, within=leg), shift(cloth.ground, 0.45), opacity=0.3)
    inseam = place(path("M336 280 C348 370 360 480 364 598"))
    hem = place(np.array([[354.0, 584], [446, 580]]))
    seam(canvas, _THREAD, inseam, hem, within=leg, dash=5, width=1.5)


def _waistband(canvas: Canvas, cloth: Cloth, *, button: bool) -> None:
    band = mirrored("M320 74 C360 74 396 70 421 62 L428 92 C396 100 360 104 320 104")
    canvas.shade(canvas.cut(move(band, 0, 4), blur=3), 0.3)
    patch = sew(canvas, cloth, band, light=Light(round=10, bulge=0.45, grain=0.035), span=260)
    seam(
        canvas,
        _THREAD,
        path("M213 88 C250 100 390 100 427 88"),
        path("M220 70 C250 80 390 80 420 70"),
        within=patch,
        dash=5,
        width=1.4,
    )
    for x in (244, 396, 286, 354) if button else (250, 390, 320):
        loop = rounded(x - 6, 66, x + 6, 112, 3)
        canvas.shade(canvas.cut(move(loop, 2, 2), blur=2), 0.35)
        part = canvas.cut(loop)
        canvas.paint(part, cloth.ground, canvas.light(part, Light(round=5, bulge=0.6, grain=0.03)))
    if button:
        stud = canvas.cut(ellipse(320, 89, 9, 9))
        canvas.paint(stud, _BRASS, canvas.light(stud, Light(round=7, bulge=0.9, grain=0)))


def _front(canvas: Canvas, cloth: Cloth) -> None:
    pocket = path("M366 104 C372 150 400 172 440 170")
    for line in (pocket, reflect(pocket)):
        seam(canvas, _THREAD, line, move(line, -3, 6), dash=5, width=1.5)
    fly = path("M348 104 L346 190 C344 214 334 228 320 234")
    seam(canvas, _THREAD, fly, move(fly, -6, 0), dash=5, width=1.5)
    rivets = [ellipse(x, y, 4, 4) for x, y in ((370, 112), (270, 112), (434, 168), (206, 168))]
    canvas.paint(canvas.cut(*rivets), _BRASS)


def _behind(canvas: Canvas, cloth: Cloth) -> None:
    yoke = path("M432 128 C400 140 350 156 320 164")
    seam(
        canvas,
        _THREAD,
        yoke,
        reflect(yoke),
        move(yoke, 0, 5),
        reflect(move(yoke, 0, 5)),
        dash=5,
        width=1.5,
    )
    pocket = path("M342 164 L424 150 L428 222 L390 246 L350 232 Z")
    for outline in (pocket, reflect(pocket)):
        canvas.shade(canvas.cut(move(outline, 0, 4), blur=5), 0.35)
        patch = sew(
            canvas,
            cloth,
            outline,
            light=Light(round=14, bulge=0.45, grain=0.035),
            span=260,
            shift=(17, 9),
        )
        inner = (outline - outline.mean(0)) * 0.88 + outline.mean(0)
        seam(canvas, _THREAD, np.vstack([inner, inner[:1]]), within=patch, dash=5, width=1.5)
        middle = outline.mean(0)
        arcs = path(
            f"M{middle[0] - 36} {middle[1] - 4}"
            f" Q{middle[0] - 14} {middle[1] + 16} {middle[0]} {middle[1]}"
            f" Q{middle[0] + 14} {middle[1] + 16} {middle[0] + 36} {middle[1] - 10}"
        )
        seam(canvas, _THREAD, arcs, within=patch, dash=5, width=1.5)
    label = canvas.cut(rounded(370, 70, 414, 98, 2))
    canvas.paint(
        label,
        np.array([0.62, 0.42, 0.24], np.float32),
        canvas.light(label, Light(round=5, bulge=0.4)),
    )
