"""Parts that several kinds of product share, such as seams, tubes and turned bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.cutting import Light, Patch
from example_shop.catalogue.fields import Field
from example_shop.catalogue.outlines import Outline, ellipse, move
from example_shop.catalogue.palette import shift
from example_shop.catalogue.patterns import Cloth, dye

Profile: TypeAlias = Sequence[tuple[float, float]] | Outline
"""The heights y and radii of a turned body, from top to bottom."""

Place: TypeAlias = Callable[[Outline], Outline]
"""Moves an outline to its place in the drawing."""

BLACK = np.array([0.10, 0.10, 0.11], np.float32)
GLASS = np.array([0.07, 0.08, 0.11], np.float32)
STEEL = np.array([0.78, 0.79, 0.81], np.float32)
WOOD = np.array([0.72, 0.53, 0.35], np.float32)
CREAM = np.array([0.95, 0.93, 0.89], np.float32)


def placed(*, wide: float = 1, high: float = 1, dx: float = 0, dy: float = 0) -> Place:
    """A function that scales outlines about the middle of the board and moves them."""

    def place(outline: Outline) -> Outline:
        return np.asarray((outline - 320) * (wide, high) + np.array((320 + dx, 320 + dy)))

    return place


def sew(
    canvas: Canvas,
    cloth: Cloth,
    *outlines: Outline,
    light: Light | None = None,
    span: float = 260,
    turn: float = 0,
    shift: tuple[float, float] = (0, 0),
) -> Patch:
    """Draw a piece of cloth, leather or card cut to outlines, its pattern turned by `turn`."""
    patch = canvas.cut(*outlines)
    x, y = canvas.grid(patch)
    c, s = np.cos(np.radians(turn, dtype=np.float32)), np.sin(np.radians(turn, dtype=np.float32))
    u = c * (x - 320) + s * (y - 320) + np.float32(shift[0])
    v = c * (y - 320) - s * (x - 320) + np.float32(shift[1])
    ink = dye(cloth, u, v, span=span, fineness=canvas.scale * canvas.pose.zoom)
    canvas.paint(patch, ink, canvas.light(patch, light or Light()))
    return patch


def seam(
    canvas: Canvas,
    colour: Field,
    *lines: Outline,
    within: Patch | None = None,
    dash: int = 0,
    width: float = 2,
) -> None:
    """Draw a sewn line: a soft groove, with stitches of length `dash` if given."""
    canvas.shade(canvas.line(*lines, width=width + 3, blur=2, within=within), 0.22)
    if dash:
        canvas.paint(canvas.line(*lines, width=width, within=within, dash=dash), colour)
    else:
        canvas.paint(canvas.line(*lines, width=width * 0.6, within=within), colour, opacity=0.5)


def lathe_outline(cx: float, profile: Profile, tilt: float) -> Outline:
    """The outline of a turned body seen from slightly above, without its open top.

    `profile` is (y, radius) from top to bottom; `tilt` is the height over width of its circles.
    """
    y, r = np.array(profile, float).T
    side = np.stack([cx + r, y], 1)
    bottom = ellipse(cx, y[-1], r[-1], tilt * r[-1], span=(0, 180))
    top = ellipse(cx, y[0], r[0], tilt * r[0], span=(180, 0))
    return np.vstack([side, bottom, (move(side * (-1, 1), 2 * cx, 0))[::-1], top])


def turn_on_lathe(
    canvas: Canvas,
    cloth: Cloth,
    cx: float,
    profile: Profile,
    *,
    tilt: float = 0.2,
    span: float = 300,
    azimuth: float = 0,
    gloss: float = 0.5,
) -> Patch:
    """Draw a turned body such as a mug; pattern and light follow its curved wall."""
    rings = [ellipse(cx, y, r, tilt * r) for y, r in profile[len(profile) // 2 :]]
    patch = canvas.cut(lathe_outline(cx, profile, tilt), *rings)
    x, y = canvas.grid(patch)
    ys, rs = np.array(profile, np.float32).T
    fall = y
    for _ in range(2):  # the point seen at y is on a higher ring, found by iteration
        radius = np.interp(fall, ys, rs).astype(np.float32)
        across = np.clip((x - cx) / radius, -0.999, 0.999)
        depth = np.sqrt(1 - across * across)
        fall = y - tilt * radius * depth
    ink = dye(
        cloth,
        np.arcsin(across) * rs.max() + azimuth,
        fall,
        span=span,
        fineness=canvas.scale * canvas.pose.zoom,
    )
    slope = np.interp(fall, ys, np.gradient(rs, ys)).astype(np.float32)
    canvas.paint(patch, ink, barrel(across, depth, gloss=gloss) + 0.22 * np.clip(slope, -1, 1))
    return patch


def barrel(across: Field, depth: Field, *, gloss: float = 0.5) -> Field:
    """The light on an upright round wall; `across` runs from -1 at its left edge to 1."""
    lit = np.clip(0.88 * depth - 0.42 * across, 0, 1)
    window = (
        np.exp(-(((across + 0.58) / 0.10) ** 4)) * 0.55
        + np.exp(-(((across - 0.80) / 0.05) ** 2)) * 0.3
    )
    rim = np.exp(-((1 - np.abs(across)) / 0.05))
    return np.asarray(0.50 + 0.56 * lit + gloss * 0.55 * window - 0.12 * rim, np.float32)


def fold(
    canvas: Canvas, *lines: Outline, width: float, depth: float = 0.3, within: Patch | None = None
) -> None:
    """Draw soft folds of cloth along lines, each with a lit ridge at its lower right."""
    canvas.shade(canvas.line(*lines, width=width, blur=width * 0.45, within=within), depth)
    ridge = [move(line, width * 0.7, width * 0.9) for line in lines]
    canvas.glow(
        canvas.line(*ridge, width=width * 0.5, blur=width * 0.4, within=within), depth * 0.35
    )


def tube(canvas: Canvas, colour: Field, *lines: Outline, width: float, gloss: float = 0.5) -> Patch:
    """Draw a round rod, cord or handle along the lines."""
    patch = canvas.line(*lines, width=width)
    how = Light(round=width * 0.5, bulge=0.75, edge=0.35, grain=0)
    canvas.paint(patch, colour, canvas.light(patch, how))
    if gloss and width > 5:
        moved = [move(line, -(width * 0.16), -(width * 0.2)) for line in lines]
        canvas.glow(canvas.line(*moved, width=width * 0.14, blur=width * 0.06, within=patch), gloss)
    return patch


def trim(colour: Field, by: float = 0.18) -> Field:
    """A colour for edges: darker than a light `colour`, lighter than a dark one."""
    return shift(colour, -by if colour.mean() > 0.3 else by)
