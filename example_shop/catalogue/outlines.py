"""Outlines: arrays (n, 2) of x, y on a board of 640 by 640, y pointing down."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Outline: TypeAlias = NDArray[np.float64]

_STEPS = np.linspace(0, 1, 15)[1:, None]


def _curve(points: Outline) -> Outline:
    """A quadratic (3 points) or cubic (4 points) Bézier curve, without its first point."""
    while len(points) > 1:
        heads, tails = points[:-1], points[1:]
        if heads.ndim == 2:
            heads, tails = heads[:, None, :], tails[:, None, :]
        points = heads + (tails - heads) * _STEPS
    return np.asarray(points[0])


def path(data: str) -> Outline:
    """The outline of an SVG path with one subpath of absolute M, L, Q and C commands."""
    found = [np.zeros((0, 2))]
    for command, numbers in re.findall(r"([MLQC])([^MLQC]*)", data):
        points = np.array(re.findall(r"-?[\d.]+", numbers), float).reshape(-1, 2)
        if command in "ML":
            found.append(points)
            continue
        stride = 2 if command == "Q" else 3
        for at in range(0, len(points), stride):
            start = found[-1][-1:]
            found.append(_curve(np.vstack([start, points[at : at + stride]])))
    return np.vstack(found)


def mirrored(data: str, *, axis: float = 320) -> Outline:
    """A symmetric outline, given the path of its right half from top to bottom."""
    half = path(data)
    return np.vstack([half, reflect(half, axis=axis)[::-1]])


def move(outline: Outline, dx: float, dy: float) -> Outline:
    """Move the outline right by dx and down by dy."""
    return np.asarray(outline + np.array((dx, dy)))


def reflect(outline: Outline, *, axis: float = 320) -> Outline:
    """Mirror the outline at x = axis."""
    return np.asarray(outline * (-1, 1) + (2 * axis, 0))


def ellipse(
    cx: float,
    cy: float,
    rx: float,
    ry: float,
    *,
    turn: float = 0,
    span: tuple[float, float] = (0, 360),
) -> Outline:
    """An ellipse, or an arc of it from `span[0]` to `span[1]` degrees, clockwise from the right."""
    angles = np.radians(np.linspace(*span, 97))
    points = np.stack([rx * np.cos(angles), ry * np.sin(angles)], 1)
    return move(rotate(points, turn), cx, cy)


def rotate(outline: Outline, turn: float, *, about: tuple[float, float] = (0, 0)) -> Outline:
    """Turn the outline clockwise by `turn` degrees."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return np.asarray((outline - about) @ np.array([[c, s], [-s, c]]) + about)


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> Outline:
    """A rectangle with rounded corners."""
    corners = [
        (x1 - radius, y0 + radius, -90),
        (x1 - radius, y1 - radius, 0),
        (x0 + radius, y1 - radius, 90),
        (x0 + radius, y0 + radius, 180),
    ]
    arcs = [ellipse(x, y, radius, radius, span=(a, a + 90))[::8] for x, y, a in corners]
    return np.vstack(arcs)


def smooth(points: Sequence[tuple[float, float]], *, closed: bool = True) -> Outline:
    """A Catmull-Rom spline through the points."""
    p = np.array(points, float)
    ends = (p[-1:], p[:2]) if closed else (p[:1], p[-1:])
    p = np.vstack([ends[0], p, ends[1]])
    t = np.linspace(0, 1, 12, endpoint=False)[:, None]
    pieces = [
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.vstack([*pieces, p[-2:-1]])
