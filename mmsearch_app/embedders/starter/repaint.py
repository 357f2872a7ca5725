"""Repaint an object in another colour: what the same product looks like "in red".

A classifier's features depend on colour: a black cap is nearer to a black hoodie than the red cap
of the same make is. So a query that names a colour shows the networks its image in that colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.embedders.starter.colours import lab_to_srgb, nearest_named, srgb_to_lab_fast

if TYPE_CHECKING:
    from mmsearch_app.embedders.starter.foreground import Sight

    Lab = NDArray[np.float64]

_SIDE: Final = 256  # pixels of the longer side: a little more than the networks see
EVEN: Final = 0.5  # share of an object's main colour below which it is printed: left as it is
FOLLOWING: Final = 25.0  # CIELAB units: pixels this far from the main colour follow it by 0.6
LIGHT: Final = 0.5  # weight of lightness in that distance: folds and shadows are repainted too


def repaint(image: Image.Image, sight: Sight, colour: Lab) -> Image.Image:
    """Move the object's main colour to a CIELAB colour, (3,); prints and background stay.

    Pixels move by as much as they are near the main colour, so that light and shadow remain.
    Returns a new RGB image of at most 256 pixels a side, or `image` if no colour is the main one.
    """
    main, share = main_colour(sight)
    if share < EVEN:
        return image
    small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    pixels, mask = np.array(small), _mask(sight, small.size)
    moving = mask > 0
    lab = srgb_to_lab_fast(pixels[moving])
    gaps = (lab - main.astype(np.float32)) * np.array([LIGHT, 1, 1], np.float32) / FOLLOWING
    follows = np.exp(np.einsum("nc,nc->n", gaps, gaps) / -2) * mask[moving]
    pixels[moving] = lab_to_srgb(lab + follows[:, None] * (colour - main).astype(np.float32))
    return Image.fromarray(pixels)


def main_colour(sight: Sight) -> tuple[Lab, float]:
    """Return the mean CIELAB colour of the pixels of the object's commonest named colour, (3,).

    Also return their share of the object, 0 to 1.
    """
    lab, weights = sight.lab.reshape(-1, 3), sight.weights.reshape(-1)
    nearest = nearest_named(lab)
    chosen = weights * (nearest == np.bincount(nearest, weights).argmax())
    return np.asarray(chosen @ lab / chosen.sum()), float(chosen.sum() / weights.sum())


def _mask(sight: Sight, size: tuple[int, int]) -> NDArray[np.float32]:
    mask = Image.fromarray((sight.weights > 0).astype(np.float32))
    return np.asarray(mask.resize(size, Image.Resampling.BILINEAR))
