"""Colour as a shop names it: a soft histogram over named colours and their families.

Pixels and names go the same way: to CIELAB, then a Gaussian share for each of the thirty named
colours, so that near shades share mass. Light and shadow wash colours out, and people name a
thing by its colourful part: pixels are made purer, and the colourful ones count more. Shares of
one family (navy, blue and sky blue) are added up beside them: "blue" finds navy, only after blue
itself.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Set
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmsearch_app.embedders.starter.cielab import srgb_to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsearch_app.embedders.starter.foreground import Sight

__all__ = ["SIZE", "colours_of", "known_names", "name_histogram"]

SPREAD = 11.0  # standard deviation of a named colour, in CIELAB units
LIGHTNESS = 0.7  # a shade of an object is nearer to it than another hue is
PURER = 1.25  # times as far from grey as a picture shows it is the colour that is named
COLOURFUL = 10.0  # CIELAB units of chroma with which a pixel counts double
FAMILIES = 13
NAMED = 30
SIZE = NAMED + FAMILIES


class Palette(NamedTuple):
    """The shipped colours: `lab` (30, 3) and `families` (30, 13) one-hot; `names` maps to Lab.

    `things` are names of colours and, more often, of something else: wine, lemon.
    """

    lab: NDArray[np.float64]
    families: NDArray[np.float64]
    names: Mapping[str, NDArray[np.float64]]
    things: frozenset[str]


@cache
def palette() -> Palette:
    """Read the shipped table once."""
    text = files(__package__).joinpath("data/colours.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    lab = srgb_to_lab(np.array([tuple(bytes.fromhex(r["srgb"])) for r in rows], np.uint8))
    named = [row["family"] for row in rows if row["family"]]
    order = list(dict.fromkeys(named))
    one_hot = np.eye(len(order))[[order.index(family) for family in named]]
    names = {row["name"]: value for row, value in zip(rows, lab, strict=True)}
    things = frozenset(row["name"] for row in rows if row["after"])
    return Palette(lab[: len(named)], one_hot, names, things)


def known_names(*, after_in: bool = True) -> Set[str]:
    """Every colour that words may name, in lower case, some of two words.

    Elsewhere than `after_in`, without the names that rather mean a thing: "wine glass" names no
    colour, "a glass in wine" does.
    """
    names = palette().names.keys()
    return names if after_in else names - palette().things


def _shares(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = np.array([LIGHTNESS, 1.0, 1.0])
    gaps = ((lab[:, None, :] - palette().lab[None]) * scale / SPREAD) ** 2
    logits = -gaps.sum(-1) / 2
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _block(histogram: NDArray[np.float64]) -> NDArray[np.float32]:
    both = np.concatenate([histogram, histogram @ palette().families])
    return np.asarray(both / np.linalg.norm(both), np.float32)


def colours_of(sight: Sight) -> NDArray[np.float32]:
    """The colours of the object in a picture; shape (43,), length 1."""
    lab = sight.lab.reshape(-1, 3)
    chroma = np.linalg.norm(lab[:, 1:], axis=1)
    weights = sight.weights.reshape(-1) * (1 + chroma / COLOURFUL)
    return _block(weights @ _shares(lab * [1.0, PURER, PURER]) / weights.sum())


def name_histogram(names: Iterable[str]) -> NDArray[np.float32]:
    """The named colours in equal parts; shape (43,), length 1. Raises KeyError if unknown."""
    lab = np.array([palette().names[name] for name in names])
    return _block(_shares(lab).mean(axis=0))
