"""Baseball caps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from example_shop.catalogue.backdrops import COOL_STUDIO, STUDIO
from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Patch, Pose
from example_shop.catalogue.outlines import Outline, ellipse, mirrored, move, path, reflect
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth

from .parts import seam, sew, trim

_STAGES = ((STUDIO, Pose(zoom=1.04, dx=18, dy=36)), (COOL_STUDIO, Pose(zoom=1.08, dy=24, turn=-3)))
_SHADOWS = ((322, 424, 228, 15), (320, 470, 196, 16))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """The shapes of a cap seen from one side."""

    crown: Outline
    seams: tuple[Outline, ...]
    brim: Outline
    eyes: tuple[tuple[float, float], ...]
    top: tuple[float, float]


def _from_the_side() -> _Side:
    return _Side(
        crown=path(
            "M150 372 C138 250 206 140 340 136"
            " C460 134 540 226 546 372 C480 392 400 398 330 396 C260 394 200 388 150 372 Z"
        ),
        seams=(
            path("M338 136 C290 200 270 300 276 394"),
            path("M342 136 C420 190 450 290 452 386"),
        ),
        brim=path(
            "M156 352 C110 356 50 386 22 426 C20 440 40 446 66 440 C140 420 220 406 330 402"
            " C300 372 220 352 156 352 Z"
        ),
        eyes=((232, 246), (384, 232), (490, 262)),
        top=(338, 136),
    )


def _from_the_front() -> _Side:
    panel = path("M322 132 C420 180 462 270 470 374")
    return _Side(
        crown=mirrored("M320 130 C440 130 500 230 508 360 C450 390 390 396 320 396"),
        seams=(path("M320 130 L320 380"), panel, reflect(panel)),
        brim=mirrored(
            "M320 330 C400 330 470 342 514 366 C536 400 528 444 506 470 C460 436 400 424 320 424"
        ),
        eyes=((396, 226), (244, 226)),
        top=(320, 131),
    )


def draw_cap(cloth: Cloth, *, view: int, size: int) -> Canvas:
    """A baseball cap from the side; second view: from the front."""
    canvas = Canvas(size, *_STAGES[view])
    canvas.ground(*_SHADOWS[view], 0.5)
    side = _from_the_side() if view == 0 else _from_the_front()
    how = Light(round=40, bulge=0.6, edge=0.25, grain=0.025)
    body = sew(canvas, cloth, side.crown, light=how, span=240)
    far = path("M470 170 C540 230 560 320 546 400")
    canvas.shade(canvas.line(far, width=90, blur=40, within=body), 0.4)
    canvas.glow(canvas.cut(ellipse(250, 220, 60, 40, turn=-35), blur=26, within=body), 0.22)
    _stitch(canvas, cloth, side, body)
    _brim(canvas, cloth, side.brim, body, view)
    button = canvas.cut(ellipse(*side.top, 15, 8))
    ink = cloth.second if cloth.accent else cloth.ground
    canvas.paint(button, ink, canvas.light(button, Light(round=8, bulge=0.8)))
    return canvas


def _stitch(canvas: Canvas, cloth: Cloth, side: _Side, body: Patch) -> None:
    """Draw the seams between the panels, and the eyelets."""
    thread = trim(cloth.ground)
    for line in side.seams:
        rows = (move(line, -4, 0), move(line, 4, 0))
        seam(canvas, thread, *rows, within=body, dash=5, width=1.3)
        seam(canvas, thread, line, within=body)
    rims = [ellipse(x, y, 6, 6) for x, y in side.eyes]
    canvas.paint(canvas.line(*rims, width=3, within=body), shift(cloth.ground, -0.35))
    holes = [ellipse(x, y, 4, 4) for x, y in side.eyes]
    canvas.paint(canvas.cut(*holes, within=body), shift(cloth.ground, -0.7))


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
    for wide in (0.94, 0.86, 0.78):
        high = wide if view == 0 else 1 - (1 - wide) * 0.8
        line = (brim - middle) * (wide, high) + middle
        seam(canvas, trim(ink), line, within=patch, dash=4, width=1.1)
