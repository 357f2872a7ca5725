"""Patches (shapes cut from outlines), poses of the board, and how light falls on a patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from .fields import Crease, Field
from .outlines import Outline

BOARD = 640
"""Side of the board on which everything is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A shape: its coverage (h, w) in 0..1 and the pixel of its upper left corner."""

    alpha: Field
    left: int
    top: int

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the patch covers."""
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How the board lies in front of the camera: turned clockwise, enlarged, moved, mirrored."""

    turn: float = 0
    zoom: float = 1
    dx: float = 0
    dy: float = 0
    flip: bool = False
    squash: float = 1
    """Height over width as the camera sees them; below 1, the board is tilted backwards."""

    def matrix(self, size: int) -> NDArray[np.float64]:
        """The 3 by 3 matrix from board coordinates to pixels."""
        c, s = np.cos(np.radians(self.turn)), np.sin(np.radians(self.turn))
        centre = np.array([[1, 0, -320], [0, 1, -320], [0, 0, 1.0]])
        turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        mirror = np.diag([-1.0 if self.flip else 1.0, 1, 1])
        seen = np.diag([self.zoom, self.zoom * self.squash, 1])
        back = np.array([[1, 0, 320 + self.dx], [0, 1, 320 + self.dy], [0, 0, 1.0]])
        return np.asarray(
            np.diag([size / BOARD, size / BOARD, 1]) @ back @ seen @ turned @ mirror @ centre
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """How light falls on a patch, as if it were inflated like a cushion."""

    round: float = 24
    """How far from the edge the surface curves."""
    bulge: float = 0.5
    edge: float = 0.25
    """How dark the edge is."""
    creases: Sequence[Crease] = ()
    waves: float = 0
    """The unevenness of cloth."""
    grain: float = 0.012
    """The unevenness of thread."""
    seed: int = 1


def stroke(draw: ImageDraw.ImageDraw, points: list[tuple[float, ...]], width: float) -> None:
    """Draw a line with round ends."""
    draw.line(points, fill=255, width=max(1, int(width + 0.5)), joint="curve")
    r = max(0.0, width / 2 - 0.5)
    for x, y in (points[0], points[-1]):
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)


def inside(patch: Patch, within: Patch | None) -> Patch:
    """The part of `patch` inside `within`, cropped to their common box."""
    if within is None:
        return patch
    rows, columns = (_common(a, b) for a, b in zip(patch.box, within.box, strict=True))
    mine = patch.alpha[_local(rows, patch.top), _local(columns, patch.left)]
    other = within.alpha[_local(rows, within.top), _local(columns, within.left)]
    return Patch(alpha=mine * other, left=columns.start, top=rows.start)


def _common(a: slice, b: slice) -> slice:
    start = max(a.start, b.start)
    return slice(start, max(start, min(a.stop, b.stop)))


def _local(span: slice, origin: int) -> slice:
    return slice(span.start - origin, span.stop - origin)


def dashes(ring: Outline, length: float) -> list[Outline]:
    """Cut an outline into dashes of a length, with gaps of 0.7 of it."""
    steps = np.hypot(*np.diff(ring, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    starts = np.arange(0, at[-1], length * 1.7)
    ends = np.minimum(starts + length, at[-1])
    x, y = (
        np.stack([np.interp(starts, at, ring[:, k]), np.interp(ends, at, ring[:, k])], 1)
        for k in (0, 1)
    )
    return list(np.stack([x, y], 2))
