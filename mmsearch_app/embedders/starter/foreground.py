"""Where the object is in a product image: what differs from the border or is enclosed by that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.starter.colours import srgb_to_lab

if TYPE_CHECKING:
    from PIL import Image

_SIDE = 64  # pixels of the longer side
NEAR = 7.0  # CIELAB units within which a pixel is still background
FIT = 12.0  # CIELAB units within which a border pixel shapes the background
LEAST = 0.03  # share of the image below which a mask is not trusted
SMALL = 0.5  # share of the image below which the image is cropped to its object
AROUND = 1.15  # side of the crop as a multiple of the object's longer side
STRAY = 0.02  # share of the mask that the crop may leave out at each side


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A small copy of an image, at most 64 pixels a side, and where its object is."""

    lab: NDArray[np.float64]
    """The pixels in CIELAB, (h, w, 3)."""
    weights: NDArray[np.float64]
    """How likely each pixel belongs to the object, (h, w), 0 to 1; the sum is above 0."""


def find_object(image: Image.Image) -> Sight:
    """Separate the object of an RGB image from its background.

    The background continues the border's colours smoothly and is connected to the border: a white
    mug is enclosed by its outline and so belongs to the object. The middle counts more than the
    rim. If the mask is nearly empty, the whole image counts.
    """
    small = image.copy()
    small.thumbnail((_SIDE, _SIDE))
    lab = srgb_to_lab(np.asarray(small))
    distance = np.linalg.norm(lab - _background(lab), axis=-1)
    near = max(NEAR, 2.0 * float(np.median(distance[_rim(distance.shape)])))
    mask = ~_reach_from_border(distance < near)
    middle = _middle(mask.shape)
    return Sight(lab=lab, weights=middle * mask if mask.mean() >= LEAST else middle)


def frame_object(image: Image.Image, sight: Sight) -> tuple[Image.Image, Sight]:
    """Crop the image to a square around its object if that is small; else return it unchanged."""
    height, width = sight.weights.shape
    left, right, top, bottom = _frame(sight.weights > 0)
    if (right - left) * (bottom - top) >= SMALL * height * width:
        return image, sight
    x, y = image.width / width, image.height / height
    box = (round(left * x), round(top * y), round(right * x), round(bottom * y))
    seen = (slice(top, bottom), slice(left, right))
    return image.crop(box), Sight(lab=sight.lab[seen], weights=sight.weights[seen])


def _frame(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom of a square around the mask, within the image."""
    (left, right), (top, bottom) = (_extent(mask.sum(axis=axis)) for axis in (0, 1))
    half = AROUND * max(right - left, bottom - top) / 2
    height, width = mask.shape
    x, y = (left + right) / 2, (top + bottom) / 2
    return (*_span(x, half, width), *_span(y, half, height))


def _extent(counts: NDArray[np.int_]) -> tuple[int, int]:
    share = np.cumsum(counts) / counts.sum()
    first, last = np.searchsorted(share, (STRAY, 1 - STRAY))
    return int(first), int(last) + 1


def _span(middle: float, half: float, size: int) -> tuple[int, int]:
    return max(0, math.floor(middle - half)), min(size, math.ceil(middle + half))


@lru_cache
def _rim(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rim = np.ones(shape, bool)
    rim[1:-1, 1:-1] = False
    return rim


@lru_cache
def _grid(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return y, x


@lru_cache
def _middle(shape: tuple[int, ...]) -> NDArray[np.float64]:
    y, x = _grid(shape)
    return np.asarray(np.exp(-(x**2 + y**2)))


def _background(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a plane to the border's colours, ignoring border pixels that stray from it."""
    terms = _plane_terms(lab.shape[:2])
    rim = _rim(lab.shape[:2])
    where, what = terms[rim], lab[rim]
    fitted: NDArray[np.float64] = np.broadcast_to(np.median(what, axis=0), what.shape)
    plane = np.zeros((3, 3))
    plane[0] = fitted[0]
    before = np.zeros(len(what), bool)
    for _ in range(4):
        typical = ((what - fitted) ** 2).sum(axis=1) < FIT**2
        if typical.mean() < 0.3 or (typical == before).all():
            break
        plane = np.linalg.lstsq(where[typical], what[typical], rcond=None)[0]
        fitted = where @ plane
        before = typical
    return np.asarray(terms @ plane)


@lru_cache
def _plane_terms(shape: tuple[int, ...]) -> NDArray[np.float64]:
    y, x = _grid(shape)
    return np.stack([np.ones_like(x), x, y], axis=-1)


def _reach_from_border(allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the allowed pixels that are connected to the border by their four neighbours."""
    reached = allowed & _rim(allowed.shape)
    while True:
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= allowed
        if (grown == reached).all():
            return reached
        reached = grown
