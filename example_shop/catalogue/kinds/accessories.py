"""Sunglasses and umbrellas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from example_shop.catalogue.backdrops import COOL_PAPER, PAPER, STUDIO, WARM_STUDIO
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Pose
from example_shop.catalogue.fields import Field, smoothstep
from example_shop.catalogue.outlines import Outline, ellipse, move, path
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth, dye

from .parts import GLASS, STEEL, Place, placed, sew, tube

_STAGES = (
    (replace(STUDIO, bend=0.62), Pose(zoom=1.14, dy=10)),
    (replace(WARM_STUDIO, bend=0.5), Pose(turn=-8, dy=46)),
)
_SHADOWS = ((320, 444, 250, 10), (300, 436, 240, 14))
_TEMPLES = (
    "M486 262 C540 210 580 170 600 140 C610 128 622 140 616 164",
    "M64 258 C140 200 230 140 300 118 C320 112 336 124 330 150",
)
_HUB = np.array((320.0, 320))
_TONES = (0.04, 0.08, 0.0, -0.08, -0.16)


def draw_sunglasses(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """Sunglasses from the front; second view: opened and turned, on a table."""
    canvas = Canvas(size, *_STAGES[view])
    canvas.ground(*_SHADOWS[view], 0.4)
    if view == 0:
        sides = [placed(), placed(wide=-1)]
        arm = path("M556 262 C566 300 560 350 548 404")
        tube(canvas, shift(cloth.ground, -0.25), *(side(arm) for side in sides), width=13, gloss=0)
    else:
        sides = [placed(wide=0.78, dx=-28, dy=6), placed(wide=-0.9, high=1.04, dx=-28, dy=7)]
        for line, width in zip(_TEMPLES, (15, 17), strict=True):
            _temple(canvas, cloth, path(line), width)
    for side in sides:
        _lens(canvas, cloth, side)
    bridge = path("M282 268 C300 248 340 248 358 268 L354 292 C340 274 300 274 286 292 Z")
    patch = canvas.cut(move(bridge, -28 * view, 0))
    canvas.paint(patch, cloth.ground, canvas.light(patch, Light(round=8, bulge=0.7)))
    return canvas


def _temple(canvas: Canvas, cloth: Cloth, line: Outline, width: float) -> None:
    canvas.shade(canvas.line(move(line, 10, 46), width=width, blur=9), 0.25)
    tube(canvas, shift(cloth.ground, -0.08), line, width=width, gloss=0.4)


def _tints(cloth: Cloth) -> tuple[Field, Field]:
    """The colours at the top and at the bottom of a lens."""
    if cloth.pattern != "plain":
        return GLASS, shift(GLASS, 0.2)
    deep = -0.2 if cloth.ground.mean() > 0.7 else -0.45
    return shift(cloth.ground, deep), shift(cloth.ground, 0.08)


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
    dark, pale = _tints(cloth)
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
    """An open umbrella with a hooked handle; second view: the canopy from above."""
    return _from_above(cloth, size) if view == 1 else _open_umbrella(cloth, size)


def _open_umbrella(cloth: Cloth, size: int) -> Canvas:
    canvas = Canvas(size, PAPER, Pose(turn=9, zoom=1.03, dy=6))
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
    """Draw the `k`-th panel between two ribs, its lower edge curved."""
    sag = move((left + right) / 2, 0, -26)
    t = np.linspace(0, 1, 20)[:, None]
    hem = (1 - t) ** 2 * left + 2 * t * (1 - t) * sag + t * t * right
    outline = np.vstack([_rib(peak, left), hem, _rib(peak, right)[::-1]])
    patch = canvas.cut(outline)
    x, y = canvas.grid(patch)
    ink = dye(
        cloth, x, y * 1.15 + (x - 320) ** 2 * np.float32(9e-4), span=260, fineness=canvas.scale
    )
    how = Light(round=26, bulge=0.4, edge=0.22, grain=0.008)
    light = canvas.light(patch, how) + np.float32(_TONES[k])
    canvas.paint(patch, ink, light)
    canvas.paint(canvas.line(_rib(peak, right), width=2), shift(cloth.ground, -0.35), opacity=0.6)


def _from_above(cloth: Cloth, size: int) -> Canvas:
    canvas = Canvas(size, COOL_PAPER, Pose(turn=11, zoom=0.98))
    corners = ellipse(320, 320, 282, 282, turn=22.5)[:-1:12]
    panels = [_sector(a, b) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
    canvas.drop(*panels, dx=16, dy=26, blur=22, strength=0.5)
    for k, panel in enumerate(panels):
        _flat_panel(canvas, cloth, panel, k * 45 + 45.0)
    ribs = [np.array([_HUB, corner]) for corner in corners]
    canvas.paint(canvas.line(*ribs, width=2), shift(cloth.ground, -0.35), opacity=0.6)
    canvas.paint(canvas.cut(*(ellipse(x, y, 6, 6) for x, y in corners)), STEEL)
    tip = canvas.cut(ellipse(320, 320, 12, 12))
    canvas.paint(tip, STEEL, canvas.light(tip, Light(round=9, bulge=0.9, grain=0)))
    return canvas


def _sector(a: Outline, b: Outline) -> Outline:
    """The outline of a panel between two tips seen from above; its hem curves inwards."""
    t = np.linspace(0, 1, 16)[:, None]
    sag = _HUB + ((a + b) / 2 - _HUB) * 0.93
    return np.vstack([_HUB, (1 - t) ** 2 * a + 2 * t * (1 - t) * sag + t * t * b])


def _flat_panel(canvas: Canvas, cloth: Cloth, panel: Outline, turn: float) -> None:
    patch = canvas.cut(panel)
    x, y = canvas.grid(patch)
    c, s = np.cos(np.radians(turn, dtype=np.float32)), np.sin(np.radians(turn, dtype=np.float32))
    along, across = (x - 320) * c + (y - 320) * s, (y - 320) * c - (x - 320) * s
    ink = dye(cloth, across, along, span=260, fineness=canvas.scale)
    facing = 1 - 0.17 * float(np.cos(np.radians(turn - 50)))
    light = facing + 0.05 * np.cos(across / 40) - 0.1 * smoothstep(180, 290, along)
    canvas.paint(patch, ink, light.astype(np.float32))
