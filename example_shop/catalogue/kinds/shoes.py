"""Running shoes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from example_shop.catalogue.backdrops import COOL_STUDIO, STUDIO
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Patch, Pose
from example_shop.catalogue.fields import Field
from example_shop.catalogue.outlines import Outline, move, path, rotate
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import BLACK, CREAM, seam, sew, trim

_UPPER = (
    "M104 256 C110 236 132 228 150 240 C176 268 214 280 262 262 C286 252 300 244 316 246"
    " C360 292 410 330 470 352 C520 366 560 384 572 418 C578 436 572 452 556 456"
    " L110 456 C90 430 88 396 98 362 C108 326 100 290 104 256 Z"
)
_MIDSOLE = (
    "M92 424 C130 446 190 436 260 440 C350 446 460 452 582 424 C598 436 594 466 566 482"
    " C520 498 470 492 400 490 C300 488 200 498 120 494 C84 490 74 460 92 424 Z"
)
_OUTSOLE = (
    "M84 468 C100 486 150 484 220 482 C320 476 420 484 500 484 C550 482 580 470 594 446"
    " C598 470 584 496 540 504 C440 512 360 504 300 504 C220 506 160 514 110 508"
    " C86 504 78 486 84 468 Z"
)
_COLLAR = "M110 262 C130 224 170 236 196 250 C240 256 280 236 318 248 C280 290 180 310 110 262 Z"
_RIM = "M104 258 C112 238 134 230 150 242 C176 270 214 282 262 264 C286 254 300 246 316 248"
_WELT = "M92 424 C130 446 190 436 260 440 C350 446 460 452 582 424"
_GROOVES = (
    "M110 462 C220 450 320 462 420 468 C480 470 540 462 580 446",
    "M330 474 C400 480 470 482 540 474",
)
_OVERLAYS = (
    "M572 418 C560 384 536 376 506 366 C498 400 506 430 516 458 L570 458 Z",
    "M98 362 C106 330 104 310 102 282 C140 300 176 340 190 456 L104 456 C88 430 88 396 98 362 Z",
    "M318 250 C350 284 380 308 424 334 L402 368"
    " C350 350 312 322 274 284 C282 264 300 250 318 250 Z",
)
_BENDS = (
    (300, 330, 250, 440, 24, 0.1),
    (440, 350, 420, 450, 12, 0.2),
    (470, 360, 455, 450, 12, 0.2),
)
_BEHIND = Pose(zoom=0.84, dx=62, dy=-118, flip=True, turn=5, squash=0.92)
_BEFORE = Pose(zoom=0.98, dx=-28, dy=40, flip=True, turn=-4, squash=0.92)
_FOAM = np.array([0.95, 0.95, 0.94], np.float32)


def draw_shoe(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A running shoe from the side; second view: the pair, one behind the other."""
    if view == 0:
        canvas = Canvas(size, STUDIO, Pose(zoom=1.12, dx=-14, dy=-20, squash=0.9))
        canvas.ground(320, 481, 282, 15, 0.6)
    else:
        canvas = Canvas(size, replace(COOL_STUDIO, bend=0.42), _BEHIND)
        canvas.ground(390, 346, 205, 12, 0.4)
        _shoe(canvas, cloth)
        canvas = canvas.posed(_BEFORE)
        canvas.ground(290, 524, 245, 15, 0.55)
    _shoe(canvas, cloth)
    return canvas


def _shoe(canvas: Canvas, cloth: Cloth) -> None:
    second = shift(cloth.ground, -0.09 if cloth.colour == "white" else -0.22)
    if cloth.accent:
        second = cloth.second
    collar = canvas.cut(path(_COLLAR))
    canvas.paint(collar, shift(cloth.second if cloth.accent else BLACK, -0.35))
    _tongue(canvas, cloth)
    _tread(canvas, cloth)
    how = Light(round=60, bulge=0.75, edge=0.25, creases=_BENDS, grain=0.02)
    upper = sew(canvas, cloth, path(_UPPER), light=how, span=240)
    _mesh(canvas, upper)
    for overlay in _OVERLAYS:
        _overlay(canvas, second, path(overlay), upper)
    _stripe(canvas, cloth, upper)
    _laces(canvas, cloth)
    band = canvas.line(path(_RIM), width=13)
    canvas.paint(band, second, canvas.light(band, Light(round=7, bulge=0.7)))
    _midsole(canvas, cloth, second)


def _tread(canvas: Canvas, cloth: Cloth) -> None:
    tread = canvas.cut(path(_OUTSOLE))
    ink = BLACK if cloth.colour == "white" else shift(cloth.ground, -0.45)
    canvas.paint(tread, ink, canvas.light(tread, Light(round=12)))


def _midsole(canvas: Canvas, cloth: Cloth, second: Field) -> None:
    """Draw the foam under the foot, with its grooves and a coloured wedge at the heel."""
    canvas.shade(canvas.line(path(_WELT), width=8, blur=5), 0.4)
    foam = canvas.cut(path(_MIDSOLE))
    ink = _FOAM * 0.93 if (cloth.colour, cloth.pattern) == ("white", "plain") else _FOAM
    canvas.paint(foam, ink, canvas.light(foam, Light(round=20, bulge=0.5, edge=0.2)))
    canvas.shade(canvas.line(*map(path, _GROOVES), width=3, blur=1, within=foam), 0.22)
    wedge = path("M88 440 C120 452 190 446 250 468 C190 482 130 484 96 478 Z")
    canvas.paint(canvas.cut(wedge, within=foam), second, opacity=0.9)


def _tongue(canvas: Canvas, cloth: Cloth) -> None:
    tongue = canvas.cut(
        path("M262 272 C276 236 296 212 324 208 C346 208 350 226 342 250 L420 330 L330 320 Z")
    )
    canvas.paint(tongue, cloth.ground, canvas.light(tongue, Light(round=20, bulge=0.7)))


def _mesh(canvas: Canvas, upper: Patch) -> None:
    x, y = canvas.grid(upper)
    weave = (0.5 + 0.5 * np.sin(x * 0.9 + y * 0.45)) * (0.5 + 0.5 * np.sin(y * 0.9 - x * 0.45))
    rows, columns = upper.box
    canvas.rgb[:, rows, columns] *= 1 - 0.13 * upper.alpha * weave.astype(np.float32)


def _overlay(canvas: Canvas, ink: Field, outline: Outline, upper: Patch) -> None:
    canvas.shade(canvas.cut(outline, blur=4, within=upper), 0.35)
    patch = canvas.cut(outline, within=upper)
    canvas.paint(patch, ink, canvas.light(patch, Light(round=26, bulge=0.55, edge=0.22)))
    seam(canvas, trim(ink, 0.3), rotate(outline, 0), within=patch, dash=4, width=1.2)


def _stripe(canvas: Canvas, cloth: Cloth, upper: Patch) -> None:
    swoop = path(
        "M196 440 C214 390 250 350 310 346 C360 346 420 380 500 372"
        " C440 400 380 384 330 378 C284 376 256 400 244 444 Z"
    )
    ink = CREAM if cloth.ground.mean() < 0.72 else shift(cloth.second, -0.05)
    canvas.shade(canvas.cut(move(swoop, 0, 2), blur=3, within=upper), 0.3)
    patch = canvas.cut(swoop, within=upper)
    canvas.paint(patch, ink, canvas.light(patch, Light(round=8, bulge=0.4)))


def _laces(canvas: Canvas, cloth: Cloth) -> None:
    ink = CREAM if cloth.colour != "white" else np.array([0.8, 0.8, 0.82], np.float32)
    for k in range(5):
        x, y = 306 + k * 23, 262 + k * 18.5
        lace = path(f"M{x - 14} {y + 22} C{x - 2} {y - 4} {x + 14} {y - 14} {x + 34} {y - 12}")
        canvas.shade(canvas.line(move(lace, 2, 4), width=9, blur=2), 0.35)
        band = canvas.line(lace, width=9)
        canvas.paint(band, ink, canvas.light(band, Light(round=5, bulge=0.7)))
    for bow in (
        "M314 246 C276 200 232 214 246 236 C262 254 296 252 314 246",
        "M314 246 C330 206 372 196 374 218 C370 238 338 246 314 246",
    ):
        loop = canvas.line(path(bow), width=7)
        canvas.paint(loop, ink, canvas.light(loop, Light(round=4, bulge=0.7)))
