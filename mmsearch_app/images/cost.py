"""How much memory it takes to decode an image, known from its header."""

from __future__ import annotations

import re

from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import WebPImageFile

from mmsearch_app.images.strip import layers_of_first_scan

_WEBP = (13, 9)
"""Bytes of memory for each pixel, at most and afterwards: two canvases and a copy; then that copy
and the image."""
_AVIF, _DEEP_AVIF = (12, 10), (19, 16)
"""The same, planes at full size and alpha included; the second with more than 8 bits a sample."""
_DEPTH = re.compile(rb"av1C..(.)", re.DOTALL)
_DEEP = 0x40
_BLOCK = 32
"""Width and height of the largest unit of a JPEG, to a multiple of which its planes extend."""


def pixel_bytes(mode: str) -> int:
    """Return how many bytes of memory Pillow takes for one pixel."""
    if mode in ("1", "L", "P"):
        return 1
    return 2 if mode.startswith("I;16") else 4


def decoding_bytes(image: Image.Image, data: bytes, full_size: tuple[int, int]) -> tuple[int, int]:
    """Return the most memory that `image.load()` takes, and how much is taken afterwards.

    `data` is its file, `full_size` the size before `draft` scaled a JPEG down.
    """
    pixels = image.width * image.height
    if isinstance(image, WebPImageFile):
        most, after = _WEBP
        return pixels * most + 3 * len(data), pixels * after
    if isinstance(image, AvifImageFile):
        depth = _DEPTH.search(data)
        is_deep = depth is None or depth[1][0] & _DEEP
        most, after = _DEEP_AVIF if is_deep else _AVIF
        return pixels * most + 2 * len(data), pixels * after
    decoded = pixels * pixel_bytes(image.mode)
    if isinstance(image, JpegImageFile) and _is_buffered(image, data):
        return decoded + _coefficient_bytes(image, full_size), decoded
    return decoded, decoded


def _coefficient_bytes(image: JpegImageFile, size: tuple[int, int]) -> int:
    """Return the memory of all coefficients, at two bytes each."""
    across = max(layer[1] for layer in image.layer)
    down = max(layer[2] for layer in image.layer)
    units = sum(layer[1] * layer[2] for layer in image.layer)
    pixels = (size[0] + _BLOCK) * (size[1] + _BLOCK)
    return 2 * pixels * units // max(1, across * down)


def _is_buffered(image: JpegImageFile, data: bytes) -> bool:
    """Return whether a JPEG spreads its colours or its details over several passes.

    Its coefficients are then kept at full size, at two bytes each, whatever `draft` says.
    """
    return bool(image.info.get("progressive")) or layers_of_first_scan(data) != image.layers
