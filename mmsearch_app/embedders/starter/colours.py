"""Colour as a shop names it: a soft histogram over named colours and their families.

Pixels and colour names are both mapped to CIELAB, then to a Gaussian share for each of the thirty
named colours, so that near shades overlap. Light and shadow wash colours out, and people name a
thing by its colourful part: so pixels are made purer, and colourful ones count more. The shares
of each family (navy, blue and sky blue) are added beside them: "blue" finds navy, after blue.

Sources: IEC 61966-2-1 (sRGB), CIE 15:2004 (CIELAB under D65, the cube root's linear start).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Set
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mmsearch_app.embedders.starter.foreground import Sight

_F = TypeVar("_F", np.float32, np.float64)

_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = (0.95047, 1.0, 1.08883)
_STEPS = 1 << 16  # of light: at most a twentieth of a byte each
SPREAD = 11.0  # standard deviation of a named colour, in CIELAB units
LIGHTNESS = 0.7  # weight of lightness: another shade is nearer than another hue
PURER = 1.25  # factor of chroma: the colour that people name is purer than the pixels
MOST_SKIN = 0.5  # share of an object above which skin's colour is taken for the product's own
COLOURFUL = 10.0  # CIELAB units of chroma with which a pixel counts double


def srgb_to_lab(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Convert (..., 3) sRGB bytes to L* (0 to 100), a* and b*."""
    return _to_lab(_linear_light()[pixels] @ np.array(_XYZ).T / np.array(_WHITE))


def srgb_to_lab_fast(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the same in single precision, in a third of the time."""
    to_xyz = np.array(_XYZ).T / np.array(_WHITE)
    return _to_lab(_linear_light().astype(np.float32)[pixels] @ to_xyz.astype(np.float32))


def _to_lab(xyz: NDArray[_F]) -> NDArray[_F]:
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@cache
def _linear_light() -> NDArray[np.float64]:
    """Return the light, 0 to 1, of each of the 256 bytes."""
    c = np.arange(256) / 255.0
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab_to_srgb(lab: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Convert L*, a* and b* to sRGB bytes; what sRGB cannot show is clipped."""
    to_light = (np.linalg.inv(_XYZ) * _WHITE).T.astype(lab.dtype)
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f * f * f, (f - 4 / 29) * (3 * (6 / 29) ** 2))
    linear = np.clip(xyz @ to_light, 0, 1)
    steps = np.rint(linear * (_STEPS - 1)).astype(np.uint16)
    return np.asarray(_bytes_of_light()[steps])


@cache
def _bytes_of_light() -> NDArray[np.uint8]:
    """Return the byte of each step of light, from 0 to 1: a power for every pixel is slow."""
    light = np.linspace(0, 1, _STEPS)
    c = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(c * 255), np.uint8)


class Palette(NamedTuple):
    """The shipped colours: `lab` (30, 3) and `families` (30, 13) one-hot; `names` maps to Lab.

    `things` are names of colours that more often mean something else: wine, lemon.
    """

    lab: NDArray[np.float64]
    families: NDArray[np.float64]
    names: Mapping[str, NDArray[np.float64]]
    things: frozenset[str]


@cache
def palette() -> Palette:
    text = files(__package__).joinpath("data/colours.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    lab = srgb_to_lab(np.array([tuple(bytes.fromhex(r["srgb"])) for r in rows], np.uint8))
    named = [row["family"] for row in rows if row["family"]]
    order = list(dict.fromkeys(named))
    one_hot = np.eye(len(order))[[order.index(family) for family in named]]
    names = {row["name"]: value for row, value in zip(rows, lab, strict=True)}
    things = frozenset(row["name"] for row in rows if row["after"])
    return Palette(lab[: len(named)], one_hot, names, things)


def nearest_named(lab: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the place in the palette of the named colour nearest to each CIELAB colour, (n, 3)."""
    named = palette().lab
    return np.asarray((lab @ named.T - (named**2).sum(axis=1) / 2).argmax(axis=1))


def known_names(*, after_in: bool = True) -> Set[str]:
    """Return the names of colours, in lower case, some of two words.

    Unless `after_in`, leave out names that more often mean a thing: "wine glass" names no colour,
    "a glass in wine" does.
    """
    names = palette().names.keys()
    return names if after_in else names - palette().things


def _shares(lab: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return each colour's Gaussian share for every named colour; (30, n), columns sum to 1."""
    directions, lengths = _scaled_palette()
    scaled = lab.T * _scale()[:, None]
    # Half the squared distance, multiplied out: one matrix product for all named colours. Not by
    # `@`: BLAS shares products of this size among threads, which then wait in a loop for 20 ms.
    logits = (
        np.einsum("cd,dn->cn", directions, scaled) - lengths[:, None] - (scaled**2).sum(axis=0) / 2
    )
    shares = np.exp(logits.astype(np.float32))
    return np.asarray(shares / shares.sum(axis=0))


def _scale() -> NDArray[np.float64]:
    return np.array([LIGHTNESS, 1.0, 1.0]) / SPREAD


@cache
def _scaled_palette() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scaled = palette().lab * _scale()
    return scaled, (scaled**2).sum(axis=1) / 2


def _block(histogram: NDArray[np.floating]) -> NDArray[np.float32]:
    both = np.concatenate([histogram, histogram @ palette().families])
    return np.asarray(both / np.linalg.norm(both), np.float32)


def colours_of(sight: Sight, *, worn: float = 0.0) -> NDArray[np.float32]:
    """Return the histogram of the object in an image; shape (43,), length 1.

    `worn` is how likely the object is clothing, 0 to 1: then skin is that of who wears it.
    """
    counts = sight.weights > 0
    lab, weights = sight.lab[counts], sight.weights[counts]
    bare = _skin(lab) if worn else np.zeros(len(lab))
    colourful = weights * (1 + np.hypot(lab[:, 1], lab[:, 2]) / COLOURFUL)
    if weights @ bare < MOST_SKIN * weights.sum():
        colourful = colourful * (1 - worn * bare)
    shares = _shares(lab * [1.0, PURER, PURER])
    return _block(np.einsum("cn,n->c", shares, colourful) / colourful.sum())


def _skin(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much each pixel looks like human skin, (n,), 0 to 1.

    Skin of all tones has nearly one hue: 40 to 70 degrees in CIELAB, at a chroma of 12 to 36.
    """
    chroma, hue = np.hypot(lab[:, 1], lab[:, 2]), np.degrees(np.arctan2(lab[:, 2], lab[:, 1]))
    gaps = np.stack([(hue - 55) / 15, (chroma - 24) / 10, (lab[:, 0] - 55) / 28])
    return np.asarray(np.exp(-((gaps**2).clip(1) - 1).sum(0)))


def name_histogram(names: Iterable[str]) -> NDArray[np.float32]:
    """Return the histogram of named colours in equal parts; shape (43,), length 1.

    Raises KeyError if a name is unknown.
    """
    lab = np.array([palette().names[name] for name in names])
    return _block(_shares(lab).mean(axis=1))
