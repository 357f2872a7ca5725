"""Arrays that shading is made of: blurs, noise, creases."""

from __future__ import annotations

import functools
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field: TypeAlias = NDArray[np.float32]
Crease: TypeAlias = tuple[float, float, float, float, float, float]
"""x and y of a fold's start and end, its width and its depth (negative: a ridge)."""


def box_blur(field: Field, radius: int) -> Field:
    """Blur twice with a box of 2 * radius + 1, roughly a Gaussian; outside the field is 0."""
    for _ in range(2):
        field = _blur_columns(_blur_columns(field, radius).T, radius).T
    return field


def _blur_columns(field: Field, radius: int) -> Field:
    """Blur once along the first axis: a difference of running sums."""
    height, width = len(field), 2 * radius + 1
    total = np.zeros((height + width, field.shape[1]), np.float32)
    np.cumsum(field, axis=0, out=total[radius + 1 : radius + 1 + height])
    total[radius + 1 + height :] = total[radius + height]
    return np.asarray((total[width:] - total[:-width]) / np.float32(width))


def resize(field: Field, width: int, height: int) -> Field:
    """Resample the field to `height` rows and `width` columns."""
    image = Image.fromarray(np.ascontiguousarray(field))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def smoothstep(low: float, high: float, x: Field) -> Field:
    """0 below `low`, 1 above `high`, and a smooth slope between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


@functools.lru_cache(maxsize=32)
def noise(seed: int, *, side: int, finest: float, coarsest: float = 1e9) -> Field:
    """Tileable noise (side, side) of mean 0 and deviation 1, with waves of the given lengths."""
    white = np.fft.rfft2(np.random.default_rng(seed).standard_normal((side, side)))
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    f = np.hypot(fx, fy)
    band = np.exp(-((f * finest) ** 2)) * (1 - np.exp(-((f * coarsest) ** 2)))
    wave = np.fft.irfft2(white * band, (side, side))
    return np.asarray((wave - wave.mean()) / wave.std(), np.float32)


def crease(x: Field, y: Field, fold: Crease) -> Field:
    """The light on a fold of cloth: darker on one side of its line, lighter on the other.

    The fold is deepest in the middle of its line and flattens towards both ends.
    """
    x0, y0, x1, y1, width, depth = fold
    dx, dy = x1 - x0, y1 - y0
    length = float(np.hypot(dx, dy))
    along = ((x - x0) * dx + (y - y0) * dy) / length**2
    across = ((x - x0) * dy - (y - y0) * dx) / (length * width)
    reach = np.clip(4 * along * (1 - along), 0, 1)
    bend = (across + 0.35) * np.exp(-across * across)
    return np.asarray(-depth * reach * bend, np.float32)
