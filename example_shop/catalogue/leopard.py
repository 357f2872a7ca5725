"""A leopard whose coat is the shop's leopard print: an image to start a search from."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .backdrops import PAPER
from .canvas import Canvas
from .cutting import Light, Patch
from .fields import noise, resize, smoothstep
from .outlines import Outline, ellipse, mirrored, move, path, reflect
from .patterns import Cloth, dye

_COAT = Cloth(colour="tan", accent="black", pattern="leopard")
_FUR = np.array([0.80, 0.60, 0.36], np.float32)
_PALE = np.array([0.95, 0.90, 0.80], np.float32)
_DARK = np.array([0.10, 0.08, 0.07], np.float32)
_NOSE = np.array([0.62, 0.36, 0.32], np.float32)
_AMBER = np.array([0.78, 0.62, 0.18], np.float32)

_BODY = path(
    "M420 292 C360 250 270 250 190 270 C130 282 84 330 78 400 C72 460 84 510 110 540"
    " C170 566 300 560 380 556 C440 552 500 540 512 470 C520 400 500 330 420 292 Z"
)
_HEAD = mirrored(
    "M320 120 C364 118 400 132 420 164 C440 204 440 250 424 286 C404 330 372 368 320 372"
)
_EAR = path("M372 138 C374 108 400 90 426 100 C446 112 446 146 422 172 Z")


def draw_leopard(size: int = 640) -> Image.Image:
    """A leopard at rest on the savannah, RGB, size by size."""
    canvas = Canvas(size, PAPER)
    _savannah(canvas)
    canvas.shade(canvas.cut(ellipse(300, 556, 270, 30), blur=16), 0.5)
    _tail(canvas)
    body = _coat(
        canvas,
        _BODY,
        Light(round=80, bulge=0.5, edge=0.35, grain=0.03, creases=((230, 300, 150, 560, 40, 0.3),)),
        span=300,
    )
    _belly(canvas, body)
    _legs(canvas)
    _head(canvas, body)
    _grass(canvas)
    return canvas.picture()


def _savannah(canvas: Canvas) -> None:
    y = np.linspace(0, 1, canvas.side, dtype=np.float32)[None, :, None]
    sky, haze = np.array([0.72, 0.82, 0.90], np.float32), np.array([0.96, 0.90, 0.76], np.float32)
    near, far = np.array([0.62, 0.52, 0.28], np.float32), np.array([0.84, 0.75, 0.48], np.float32)
    up, down = smoothstep(0, 0.42, y), smoothstep(0.42, 1, y)
    air = sky[:, None, None] * (1 - up) + haze[:, None, None] * up
    earth = far[:, None, None] * (1 - down) + near[:, None, None] * down
    land = smoothstep(0.405, 0.435, y)
    canvas.rgb[:] = air * (1 - land) + earth * land
    blur = resize(noise(51, side=256, finest=3), canvas.side, canvas.side)
    canvas.rgb += 0.025 * land * blur
    bush = np.array([0.45, 0.46, 0.26], np.float32)
    for x, w in ((60, 120), (560, 150), (330, 60)):
        canvas.paint(canvas.cut(ellipse(x, 262, w, 26), blur=9), bush, opacity=0.55)


def _coat(
    canvas: Canvas, outline: Outline, light: Light, *, span: float, shift: float = 0
) -> Patch:
    """Paint spotted fur with a soft edge."""
    patch = canvas.cut(outline, blur=1.6)
    x, y = canvas.grid(patch)
    ink = dye(_COAT, x + shift, y * 1.05 + 0.5 * shift, span=span, fineness=canvas.scale)
    canvas.paint(patch, ink, canvas.light(patch, light))
    return patch


def _tail(canvas: Canvas) -> None:
    line = path("M96 500 C40 520 24 440 40 380 C52 340 30 310 24 290")
    tail = canvas.line(line, width=26, blur=1.2)
    x, y = canvas.grid(tail)
    ink = dye(_COAT, x, y, span=240, fineness=canvas.scale)
    canvas.paint(tail, ink, canvas.light(tail, Light(round=13, bulge=0.8, grain=0.03)))
    canvas.paint(canvas.line(line[-8:], width=24, blur=2), _DARK)


def _belly(canvas: Canvas, body: Patch) -> None:
    """Paint the white chest and the shadow between body and ground."""
    canvas.paint(canvas.cut(ellipse(420, 430, 46, 90), blur=20, within=body), _PALE, opacity=0.55)
    canvas.shade(canvas.cut(ellipse(300, 566, 230, 50), blur=26, within=body), 0.5)
    canvas.shade(
        canvas.line(path("M300 300 C280 380 290 460 330 520"), width=26, blur=16, within=body), 0.3
    )


def _legs(canvas: Canvas) -> None:
    shapes = (
        path(
            "M96 420 C80 500 120 560 210 566 C260 566 284 550 276 534"
            " C250 516 220 520 206 500 C220 450 200 400 150 396 Z"
        ),
        path(
            "M240 470 C236 520 250 570 330 578 C370 580 392 566 384 550 C360 536 330 530 316 480 Z"
        ),
        path(
            "M392 440 C390 510 400 570 476 582 C520 586 548 572 540 556 C520 540 486 530 470 460 Z"
        ),
    )
    for k, shape in enumerate(shapes):
        canvas.shade(canvas.cut(move(shape, 2, 4), blur=9), 0.4)
        _coat(
            canvas,
            shape,
            Light(round=30, bulge=0.5, edge=0.35, grain=0.03),
            span=235,
            shift=37.0 * k,
        )


def _head(canvas: Canvas, body: Patch) -> None:
    head = move(_HEAD, 70, 10)
    canvas.shade(canvas.cut(move(head, -4, 24), blur=18, within=body), 0.6)
    for ear in (_EAR, reflect(_EAR)):
        patch = _coat(canvas, move(ear, 70, 10), Light(round=16, bulge=0.5), span=120)
        canvas.paint(
            canvas.cut(
                move((ear - ear.mean(0)) * 0.55 + ear.mean(0), 70, 16), blur=4, within=patch
            ),
            _DARK,
            opacity=0.8,
        )
    skull = _coat(
        canvas, head, Light(round=60, bulge=0.5, edge=0.3, grain=0.03), span=135, shift=11
    )
    _face(canvas, skull)


def _face(canvas: Canvas, skull: Patch) -> None:
    cx = 390.0
    bridge = path(
        "M362 210 C372 200 408 200 418 210 C424 250 430 280 424 300"
        " L356 300 C350 280 356 250 362 210 Z"
    )
    canvas.paint(canvas.cut(bridge, blur=9, within=skull), _FUR, opacity=0.95)
    for side in (-1, 1):
        x = cx + side * 46
        canvas.paint(
            canvas.cut(ellipse(x, 252, 30, 13, turn=side * 14), blur=5, within=skull),
            _PALE,
            opacity=0.9,
        )
        canvas.paint(canvas.cut(ellipse(x, 231, 23, 13, turn=side * 16), blur=1.5), _DARK)
        eye = canvas.cut(ellipse(x, 230, 16, 10, turn=side * 12))
        canvas.paint(eye, _AMBER, canvas.light(eye, Light(round=10, bulge=-0.6, grain=0)))
        canvas.paint(canvas.cut(ellipse(x, 230, 6, 7.5)), _DARK)
        canvas.glow(canvas.cut(ellipse(x - 4, 224, 3, 2.6)), 0.95)
        canvas.paint(
            canvas.line(
                path(
                    f"M{x - side * 16} 240"
                    f" C{x - side * 24} 256 {x - side * 22} 276 {x - side * 20} 296"
                ),
                width=5,
                blur=2,
            ),
            _DARK,
            opacity=0.6,
        )
    _muzzle(canvas, cx, skull)


def _muzzle(canvas: Canvas, cx: float, skull: Patch) -> None:
    for side in (-1, 1):
        cheek = canvas.cut(
            ellipse(cx + side * 28, 330, 38, 30, turn=side * 14), blur=4, within=skull
        )
        canvas.paint(cheek, _PALE, canvas.light(cheek, Light(round=26, bulge=0.5)))
    chin = canvas.cut(ellipse(cx, 362, 26, 18), blur=4, within=skull)
    canvas.paint(chin, _PALE * 0.95)
    nose = canvas.cut(
        path(
            f"M{cx - 24} 298 C{cx - 10} 290 {cx + 10} 290 {cx + 24} 298"
            f" C{cx + 18} 314 {cx + 8} 322 {cx} 324"
            f" C{cx - 8} 322 {cx - 18} 314 {cx - 24} 298 Z"
        )
    )
    canvas.paint(nose, _NOSE, canvas.light(nose, Light(round=10, bulge=0.7)))
    mouth = [
        path(f"M{cx} 322 L{cx} 338 C{cx + s * 10} 352 {cx + s * 34} 352 {cx + s * 48} 340")
        for s in (-1, 1)
    ]
    canvas.paint(canvas.line(*mouth, width=3.4, blur=0.8), _DARK)
    dots = [
        ellipse(cx + s * (20 + 9 * c), 322 + 9 * r + 2 * c, 2, 2)
        for s in (-1, 1)
        for r in range(3)
        for c in range(3)
    ]
    canvas.paint(canvas.cut(*dots), _DARK, opacity=0.8)
    whiskers = [
        path(
            f"M{cx + s * 30} {326 + 7 * k}"
            f" Q{cx + s * 80} {312 + 12 * k} {cx + s * 118} {316 + 22 * k}"
        )
        for s in (-1, 1)
        for k in range(4)
    ]
    canvas.paint(canvas.line(*whiskers, width=1.3), np.ones(3, np.float32), opacity=0.8)


def _grass(canvas: Canvas) -> None:
    rng = np.random.default_rng(12)
    for shade in (0.75, 0.95, 1.12):
        blades = []
        for _ in range(150):
            x, y, h, lean = (
                rng.uniform(-10, 650),
                rng.uniform(586, 660),
                rng.uniform(24, 70),
                rng.uniform(-22, 22),
            )
            blades.append(
                path(
                    f"M{x - 2.4} {y} Q{x} {y - h * 0.6} {x + lean} {y - h}"
                    f" Q{x + 3} {y - h * 0.5} {x + 2.6} {y} Z"
                )
            )
        canvas.paint(
            canvas.cut(*blades), np.array([0.66, 0.57, 0.30], np.float32) * np.float32(shade)
        )
