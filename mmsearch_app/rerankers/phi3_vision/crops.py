"""The "HD transform": an image as up to 16 crops of 336 × 336 and one view of the whole."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mmsearch_app.inference import normalise_pixels

if TYPE_CHECKING:
    import torch

CROP = 336
"""Side of a crop in pixels."""
CROP_TOKENS = 12
"""Tokens along the side of a crop."""


def fit(image: Image.Image, *, num_crops: int) -> Image.Image:
    """Scale to as many crops as are allowed, and pad with white to whole crops, in RGB.

    A landscape image becomes as wide as possible and is padded above and below; a portrait image
    as high as possible, padded left and right. 1344 × 1008 is unchanged with 16 crops.
    """
    image = image.convert("RGB")
    if image.width < image.height:
        lying = _fit_wide(image.transpose(Image.Transpose.TRANSPOSE), num_crops)
        return lying.transpose(Image.Transpose.TRANSPOSE)
    return _fit_wide(image, num_crops)


def _fit_wide(image: Image.Image, num_crops: int) -> Image.Image:
    ratio = image.width / image.height
    columns = 1
    while (columns + 1) * ceil((columns + 1) / ratio) <= num_crops:
        columns += 1
    width = columns * CROP
    height = max(1, int(width / ratio))
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    padded = Image.new("RGB", (width, ceil(height / CROP) * CROP), "white")
    padded.paste(scaled, (0, (padded.height - height) // 2))
    return padded


def count_tokens(width: int, height: int) -> int:
    """How many tokens an image takes whose sides are multiples of `CROP`.

    Those of all crops laid out as one image, with a separator after every row, one separator
    between, and the same for the view of the whole.
    """
    columns, rows = width // CROP * CROP_TOKENS, height // CROP * CROP_TOKENS
    return rows * (columns + 1) + 1 + CROP_TOKENS * (CROP_TOKENS + 1)


def cut(fitted: Image.Image, *, num_crops: int) -> torch.Tensor:
    """Return float32 (num_crops + 1, 3, 336, 336): the whole, the crops by row, then zeros.

    The view of the whole is scaled from the normalised image, bicubic and without antialiasing,
    as upstream does.
    """
    import torch
    from torch.nn.functional import interpolate

    pixels = normalise_pixels([np.asarray(fitted)], device=torch.device("cpu"), dtype=torch.float32)
    columns, rows = fitted.width // CROP, fitted.height // CROP
    tiles = pixels.view(3, rows, CROP, columns, CROP).permute(1, 3, 0, 2, 4)
    crops = torch.zeros(num_crops + 1, 3, CROP, CROP)
    crops[:1] = interpolate(pixels, (CROP, CROP), mode="bicubic")
    crops[1 : 1 + rows * columns] = tiles.reshape(-1, 3, CROP, CROP)
    return crops
