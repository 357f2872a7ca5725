"""The named colours of the shop and their sRGB values, 0 to 255."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

RGB = tuple[int, int, int]

COLOURS: Final[dict[str, RGB]] = {
    "black": (36, 36, 40),
    "white": (240, 239, 236),
    "grey": (139, 141, 145),
    "red": (203, 34, 40),
    "burgundy": (115, 22, 44),
    "orange": (238, 122, 30),
    "yellow": (244, 199, 48),
    "olive": (112, 116, 60),
    "green": (44, 138, 74),
    "mint": (160, 217, 190),
    "turquoise": (30, 165, 168),
    "blue": (38, 104, 196),
    "sky blue": (136, 190, 232),
    "navy": (30, 42, 86),
    "purple": (112, 60, 152),
    "pink": (238, 140, 174),
    "brown": (112, 70, 42),
    "tan": (206, 156, 96),
    "beige": (222, 205, 176),
}


def rgb(name: str) -> NDArray[np.float32]:
    """The colour as three floats in 0..1. Raises KeyError if `name` is not in COLOURS."""
    return np.array(COLOURS[name], np.float32) / np.float32(255)


def shift(colour: NDArray[np.float32], by: float) -> NDArray[np.float32]:
    """Shift the colour towards white for a positive `by` (1 is white), else towards black."""
    goal = np.float32(by > 0)
    return np.asarray(colour + (goal - colour) * abs(by), np.float32)
