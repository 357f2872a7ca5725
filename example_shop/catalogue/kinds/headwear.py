"""Scarves and baseball caps."""

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
    fold,
    seam,
    sew,
    trim,
    tube,
)


def draw_scarf(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A knitted scarf, looped; second view: folded, its fringe in front."""
    return _folded_scarf(cloth, size) if view else _looped_scarf(cloth, size)


def _fringe(
    canvas: Canvas, cloth: Cloth, start: Outline, end: Outline, hang: tuple[float, float]
) -> None:
    ink = cloth.ground if cloth.pattern == "plain" else shift(cloth.ground, -0.08)
    rng = np.random.default_rng(4)
    for t in np.linspace(0.03, 0.97, 15):
        x, y = start + (end - start) * t
        sway = rng.uniform(-6, 6)
        strand = path(
            f"M{x} {y}"
            f" Q{x + hang[0] * 0.4 + sway} {y + hang[1] * 0.5}"
            f" {x + hang[0] + sway * 0.4} {y + hang[1]}"
        )
        tube(canvas, shift(ink, float(rng.uniform(-0.12, 0.05))), strand, width=6, gloss=0)


def _looped_scarf(cloth: Cloth, size: int) -> Canvas:
    canvas = Canvas(size, horizon=None, pose=Pose(zoom=1.06, dy=4))
    back = path(
        "M182 118 C214 52 426 52 458 118 C440 170 386 186 320 186 C254 186 200 170 182 118 Z"
    )
    front = path(
        "M150 150 C142 96 186 74 222 92 C244 160 290 186 320 188 C350 186 396 160 418 92"
        " C454 74 498 96 490 150 C488 240 410 306 320 308 C230 306 152 240 150 150 Z"
    )
    tails = (
        (
            path("M286 250 C280 320 250 420 226 506 L338 530 C352 430 364 340 372 260 Z"),
            (226, 506),
            (338, 530),
            (-10, 62),
            10,
        ),
        (
            path("M296 250 C322 330 352 400 378 474 L482 444 C456 360 420 300 386 236 Z"),
            (378, 474),
            (482, 444),
            (18, 60),
            -16,
        ),
    )
    canvas.drop(front, *(tail[0] for tail in tails), dx=9, dy=13, blur=12, strength=0.32)
    inner = sew(
        canvas,
        cloth,
        back,
        light=Light(round=26, bulge=0.5, edge=0.3, grain=0.045),
        span=220,
        shift=(0, 40),
    )
    canvas.shade(inner, 0.25)
    canvas.shade(canvas.cut(ellipse(320, 186, 130, 60), blur=24, within=inner), 0.55)
    for shape, a, b, hang, turn in tails:
        canvas.shade(canvas.cut(move(shape, 6, 8), blur=9), 0.35)
        _fringe(canvas, cloth, np.array(a, float), np.array(b, float), hang)
        x, top = (a[0] + b[0]) / 2, (330.0, 230)
        part = sew(
            canvas,
            cloth,
            shape,
            light=Light(round=26, bulge=0.5, edge=0.28, grain=0.045),
            turn=turn,
            span=220,
        )
        lines = [
            path(f"M{top[0] + k} 260 Q{(top[0] + x) / 2 + k * 1.3} 380 {x + k * 2.4} 540")
            for k in (-16, 4, 20)
        ]
        fold(canvas, *lines, width=11, depth=0.24, within=part)
    _wrap(canvas, cloth, front)
    return canvas


def _wrap(canvas: Canvas, cloth: Cloth, front: Outline) -> None:
    """The part of a looped scarf that hangs before the neck, in curved folds."""
    canvas.shade(canvas.cut(move(front, 0, 12), blur=10), 0.4)
    part = sew(
        canvas, cloth, front, light=Light(round=40, bulge=0.75, edge=0.3, grain=0.045), span=220
    )
    lines = [
        path("M176 96 C190 190 260 250 330 262 C390 256 440 210 466 150"),
        path("M204 92 C226 176 280 214 330 222 C380 214 416 180 440 112"),
        path("M158 150 C176 230 250 286 320 290"),
        path("M482 150 C462 230 410 270 350 284"),
    ]
    fold(canvas, *lines, width=15, depth=0.34, within=part)


def _folded_scarf(cloth: Cloth, size: int) -> Canvas:
    canvas = Canvas(
        size,
        horizon=None,
        wall=0.955,
        floor=0.9,
        tint=(1, 0.99, 0.98),
        pose=Pose(turn=-20, zoom=0.98, dy=-10),
    )
    lower = path(
        "M150 110 C250 98 400 98 500 108 C506 220 506 360 500 470"
        " C400 482 250 482 150 472 C142 350 142 230 150 110 Z"
    )
    canvas.drop(lower, dx=13, dy=20, blur=17, strength=0.45)
    for k in (14, 7, 0):
        layer = move(lower, k * 0.7, k * 1.4)
        sew(
            canvas, cloth, layer, light=Light(round=16, bulge=0.6, edge=0.35, grain=0.045), span=220
        )
    top = path(
        "M176 94 C230 88 290 88 350 96 C356 220 356 360 352 520 L180 524 C172 380 172 230 176 94 Z"
    )
    canvas.shade(canvas.cut(move(top, 7, 6), blur=8), 0.4)
    _fringe(canvas, cloth, np.array((180.0, 522)), np.array((352.0, 518)), (4, 64))
    folds = ((230, 60, 222, 640, 14, 0.12), (300, 60, 310, 640, 16, -0.12))
    sew(
        canvas,
        cloth,
        top,
        light=Light(round=20, bulge=0.6, edge=0.3, creases=folds, grain=0.045),
        span=220,
        shift=(31, 12),
    )
    return canvas


_CROWN = (
    "M150 372 C138 250 206 140 340 136 C460 134 540 226 546 372"
    " C480 392 400 398 330 396 C260 394 200 388 150 372 Z"
)


def draw_cap(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A baseball cap from its side; second view: from the front."""
    if view == 0:
        canvas = Canvas(size, floor=0.91, pose=Pose(zoom=1.04, dx=18, dy=36))
        canvas.ground(322, 424, 228, 15, 0.5)
        crown = path(_CROWN)
        seams = [
            path("M338 136 C290 200 270 300 276 394"),
            path("M342 136 C420 190 450 290 452 386"),
        ]
        brim = path(
            "M156 352 C110 356 50 386 22 426 C20 440 40 446 66 440"
            " C140 420 220 406 330 402 C300 372 220 352 156 352 Z"
        )
        eyes = [(232, 246), (384, 232), (490, 262)]
    else:
        canvas = Canvas(
            size, wall=0.955, floor=0.9, tint=(0.985, 0.99, 1), pose=Pose(zoom=1.08, dy=24, turn=-3)
        )
        canvas.ground(320, 470, 196, 16, 0.5)
        crown = mirrored("M320 130 C440 130 500 230 508 360 C450 390 390 396 320 396")
        seams = [
            path("M320 130 L320 380"),
            path("M322 132 C420 180 462 270 470 374"),
            reflect(path("M322 132 C420 180 462 270 470 374")),
        ]
        brim = mirrored(
            "M320 330 C400 330 470 342 514 366 C536 400 528 444 506 470 C460 436 400 424 320 424"
        )
        eyes = [(396, 226), (244, 226)]
    body = sew(
        canvas, cloth, crown, light=Light(round=40, bulge=0.6, edge=0.25, grain=0.025), span=240
    )
    canvas.shade(
        canvas.line(path("M470 170 C540 230 560 320 546 400"), width=90, blur=40, within=body), 0.4
    )
    canvas.glow(canvas.cut(ellipse(250, 220, 60, 40, turn=-35), blur=26, within=body), 0.22)
    for line in seams:
        seam(
            canvas,
            trim(cloth.ground),
            move(line, -4, 0),
            move(line, 4, 0),
            within=body,
            dash=5,
            width=1.3,
        )
        seam(canvas, trim(cloth.ground), line, within=body)
    for x, y in eyes:
        canvas.paint(
            canvas.line(ellipse(x, y, 6, 6), width=3, within=body), shift(cloth.ground, -0.35)
        )
        canvas.paint(canvas.cut(ellipse(x, y, 4, 4), within=body), shift(cloth.ground, -0.7))
    _brim(canvas, cloth, brim, body, view)
    top = canvas.cut(ellipse(338 if view == 0 else 320, 136 if view == 0 else 131, 15, 8))
    canvas.paint(
        top,
        cloth.second if cloth.accent else cloth.ground,
        canvas.light(top, Light(round=8, bulge=0.8)),
    )
    return canvas


def _brim(canvas: Canvas, cloth: Cloth, brim: Outline, body: Patch, view: int) -> None:
    canvas.shade(canvas.cut(move(brim, 0, -10), blur=12, within=body), 0.4)
    ink = cloth.second if cloth.accent else cloth.ground
    canvas.shade(canvas.cut(move(brim, 0, 9), blur=6), 0.3)
    under = canvas.cut(move(brim, 0, 6))
    canvas.paint(under, shift(ink, -0.5))
    patch = canvas.cut(brim)
    canvas.paint(
        patch, ink, canvas.light(patch, Light(round=34, bulge=0.6, edge=0.25, grain=0.025))
    )
    middle = np.array((330.0, 396)) if view == 0 else np.array((320.0, 340))
    for k in (0.94, 0.86, 0.78):
        seam(
            canvas,
            trim(ink),
            (brim - middle) * (k, k if view == 0 else 1 - (1 - k) * 0.8) + middle,
            within=patch,
            dash=4,
            width=1.1,
        )
