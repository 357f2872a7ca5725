"""Sunglasses and umbrellas."""

from __future__ import annotations

import numpy as np

from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Pose
from example_shop.catalogue.fields import smoothstep
from example_shop.catalogue.outlines import (
    Outline,
    ellipse,
    move,
    path,
)
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth, dye

from .parts import (
    STEEL,
    Place,
    placed,
    sew,
    tube,
)

_GLASS = np.array([0.07, 0.08, 0.11], np.float32)


def draw_sunglasses(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """Sunglasses from the front; second view: folded out, turned, on a table."""
    if view == 0:
        canvas = Canvas(size, floor=0.92, horizon=0.62, pose=Pose(zoom=1.14, dy=10))
        canvas.ground(320, 444, 250, 10, 0.4)
        place = [placed(), placed(wide=-1)]
        for side in place:
            tube(
                canvas,
                shift(cloth.ground, -0.25),
                side(path("M556 262 C566 300 560 350 548 404")),
                width=13,
                gloss=0,
            )
    else:
        canvas = Canvas(
            size,
            wall=0.955,
            floor=0.9,
            tint=(1, 0.99, 0.975),
            horizon=0.5,
            pose=Pose(turn=-8, dy=46, zoom=1.0),
        )
        canvas.ground(300, 436, 240, 14, 0.4)
        place = [
            placed(wide=0.78, dx=-28, dy=6),
            placed(wide=-0.9, high=1.04, dx=-28, dy=7),
        ]
        _temple(
            canvas, cloth, path("M486 262 C540 210 580 170 600 140 C610 128 622 140 616 164"), 15
        )
        _temple(
            canvas, cloth, path("M64 258 C140 200 230 140 300 118 C320 112 336 124 330 150"), 17
        )
    for side in place:
        _lens(canvas, cloth, side)
    bridge = canvas.cut(
        move(
            path("M282 268 C300 248 340 248 358 268 L354 292 C340 274 300 274 286 292 Z"),
            -(28 * view),
            0,
        )
    )
    canvas.paint(bridge, cloth.ground, canvas.light(bridge, Light(round=8, bulge=0.7)))
    return canvas


def _temple(canvas: Canvas, cloth: Cloth, line: Outline, width: float) -> None:
    canvas.shade(canvas.line(move(line, 10, 46), width=width, blur=9), 0.25)
    tube(canvas, shift(cloth.ground, -0.08), line, width=width, gloss=0.4)


def _lens(canvas: Canvas, cloth: Cloth, side: Place) -> None:
    outer = side(
        path(
            "M348 258 C380 232 500 226 560 236 C578 240 580 262 570 276"
            " C566 350 530 416 456 416 C392 416 352 372 344 300"
            " C342 282 340 268 348 258 Z"
        )
    )
    inner = side(
        path(
            "M368 278 C400 258 490 254 540 262 C548 330 516 394 456 394 C404 394 370 356 366 300 Z"
        )
    )
    canvas.drop(outer, dx=4, dy=12, blur=9, strength=0.2)
    sew(canvas, cloth, outer, light=Light(round=11, bulge=0.9, edge=0.25, grain=0), span=190)
    glass = canvas.cut(inner)
    _, y = canvas.grid(glass)
    fade = smoothstep(270, 420, y)
    dark = (
        _GLASS
        if cloth.pattern != "plain"
        else shift(cloth.ground, -0.2 if cloth.colour == "white" else -0.45)
    )
    pale = shift(dark, 0.2) if cloth.pattern != "plain" else shift(cloth.ground, 0.08)
    canvas.paint(glass, dark[:, None, None] * (1 - fade) + pale[:, None, None] * fade)
    canvas.shade(canvas.line(inner, width=6, blur=3, within=glass), 0.5)
    left = inner[:, 0].min()
    wide = np.ptp(inner[:, 0])
    glare = path(
        f"M{left + wide * 0.18} 262 L{left + wide * 0.52} 256"
        f" L{left + wide * 0.30} 392 L{left + wide * 0.10} 350 Z"
    )
    canvas.glow(canvas.cut(glare, blur=3, within=glass), 0.24)
    canvas.glow(canvas.line(move(outer[:26], 0, 5), width=2.5, blur=1.5), 0.5)
    pin = side(ellipse(556, 252, 5, 3.4))
    canvas.paint(canvas.cut(pin), STEEL)


def draw_umbrella(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """An open umbrella with a hooked handle; second view: its canopy from above."""
    return _from_above(cloth, size) if view else _open_umbrella(cloth, size)


def _open_umbrella(cloth: Cloth, size: int) -> Canvas:
    canvas = Canvas(size, floor=0.93, horizon=None, pose=Pose(turn=9, zoom=1.03, dy=6))
    tube(canvas, STEEL * 0.85, np.array([[320.0, 60], [320, 520]]), width=8)
    tube(
        canvas,
        np.array([0.42, 0.26, 0.15], np.float32),
        path("M320 500 L320 556 C320 612 392 612 394 562 L394 548"),
        width=18,
        gloss=0.4,
    )
    feet = [(44, 344), (150, 372), (262, 386), (378, 386), (490, 372), (596, 344)]
    under = canvas.cut(path("M44 344 C60 330 580 330 596 344 C560 392 80 392 44 344 Z"))
    canvas.paint(under, shift(cloth.ground, -0.5), None)
    peak = np.array((320.0, 84))
    for k in range(5):
        _panel(canvas, cloth, peak, np.array(feet[k], float), np.array(feet[k + 1], float), k)
    tube(canvas, STEEL * 0.9, np.array([[320.0, 48], [320, 86]]), width=9)
    for x, y in feet:
        canvas.paint(canvas.cut(ellipse(x, y + 2, 5, 6)), STEEL * 0.8)
    return canvas


def _rib(peak: Outline, foot: Outline) -> Outline:
    """The curve of a rib from the peak of the dome down to its tip."""
    x, y = foot - peak
    t = np.linspace(0, np.pi / 2, 24)[:, None]
    return np.asarray(peak + np.hstack([x * np.sin(t), y * (1 - np.cos(t))]))


def _panel(
    canvas: Canvas, cloth: Cloth, peak: Outline, left: Outline, right: Outline, k: int
) -> None:
    """One of the panels between two ribs, its lower edge hanging in an arch."""
    sag = move((left + right) / 2, 0, -26)
    t = np.linspace(0, 1, 20)[:, None]
    hem = (1 - t) ** 2 * left + 2 * t * (1 - t) * sag + t * t * right
    outline = np.vstack([_rib(peak, left), hem, _rib(peak, right)[::-1]])
    tone = (0.04, 0.08, 0.0, -0.08, -0.16)[k]
    patch = canvas.cut(outline)
    x, y = canvas.grid(patch)
    ink = dye(
        cloth, x, y * 1.15 + (x - 320) ** 2 * np.float32(9e-4), span=260, fineness=canvas.scale
    )
    light = canvas.light(patch, Light(round=26, bulge=0.4, edge=0.22, grain=0.008)) + np.float32(
        tone
    )
    canvas.paint(patch, ink, light)
    canvas.paint(canvas.line(_rib(peak, right), width=2), shift(cloth.ground, -0.35), opacity=0.6)


def _from_above(cloth: Cloth, size: int) -> Canvas:
    canvas = Canvas(
        size,
        horizon=None,
        wall=0.955,
        floor=0.89,
        tint=(0.985, 0.99, 1),
        pose=Pose(turn=11, zoom=0.98),
    )
    corners = [
        np.array((320 + 282 * np.cos(a), 320 + 282 * np.sin(a)))
        for a in np.radians(np.arange(8) * 45 + 22.5)
    ]
    hub = np.array((320.0, 320))
    t = np.linspace(0, 1, 16)[:, None]
    panels = []
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        sag = hub + ((a + b) / 2 - hub) * 0.93
        panels.append(np.vstack([hub[None], (1 - t) ** 2 * a + 2 * t * (1 - t) * sag + t * t * b]))
    canvas.drop(*panels, dx=16, dy=26, blur=22, strength=0.5)
    for k, panel in enumerate(panels):
        patch = canvas.cut(panel)
        x, y = canvas.grid(patch)
        a = np.radians(k * 45 + 45.0)
        along = (x - 320) * np.cos(a) + (y - 320) * np.sin(a)
        across = (y - 320) * np.cos(a) - (x - 320) * np.sin(a)
        ink = dye(
            cloth,
            across.astype(np.float32),
            along.astype(np.float32),
            span=260,
            fineness=canvas.scale,
        )
        tone = 1 - 0.17 * np.cos(a - np.radians(50)) + 0.05 * np.cos(across / 40)
        canvas.paint(
            patch,
            ink,
            (tone - 0.1 * smoothstep(180, 290, along.astype(np.float32))).astype(np.float32),
        )
        canvas.paint(
            canvas.line(np.array([hub, corners[k]]), width=2),
            shift(cloth.ground, -0.35),
            opacity=0.6,
        )
    for corner in corners:
        canvas.paint(canvas.cut(ellipse(corner[0], corner[1], 6, 6)), STEEL)
    tip = canvas.cut(ellipse(320, 320, 12, 12))
    canvas.paint(tip, STEEL, canvas.light(tip, Light(round=9, bulge=0.9, grain=0)))
    return canvas
