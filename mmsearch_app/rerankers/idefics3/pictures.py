"""Images as Idefics3 and SmolVLM see them, with Pillow and NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.inference import InvalidWeights

LONGEST_SIDE: Final = 4096
"""Pixels of the longest side, whatever the options say."""
DEFAULTS: Final[Mapping[str, Any]] = {
    "do_resize": True,
    "size": {"longest_edge": 4 * 364},
    "do_image_splitting": True,
    "max_image_size": {"longest_edge": 364},
    "resample": Image.Resampling.LANCZOS,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": (0.5, 0.5, 0.5),
    "image_std": (0.5, 0.5, 0.5),
}
"""Those of the image processor of transformers."""


class TileGrid(NamedTuple):
    """How many tiles an image was cut into, beside the whole; none if it is shown whole only."""

    rows: int = 0
    columns: int = 0


class Tiles(NamedTuple):
    """An image as the vision encoder takes it."""

    grid: TileGrid
    pixels: NDArray[np.float32]
    """(tiles, 3, side, side): row by row, then the whole image.

    Every tile is filled: no pixel is padding.
    """


class TileCutter:
    """Resizes, cuts and normalises images. Thread-safe.

    `options` are those of a model's `preprocessor_config.json`; what is unknown there has no
    effect. `changed` are options that replace them. Raises ValueError for an unknown name in
    `changed`, InvalidWeights for options that make no sense.
    """

    def __init__(self, options: Mapping[str, Any], *, changed: Mapping[str, Any]) -> None:
        if unknown := sorted(changed.keys() - DEFAULTS.keys()):
            msg = f"processing has no option {unknown[0]!r}; it has {', '.join(DEFAULTS)}."
            raise ValueError(msg)
        given = {**DEFAULTS, **{k: v for k, v in options.items() if k in DEFAULTS}, **changed}
        try:
            self.side = int(given["max_image_size"]["longest_edge"])
            self._size = _read_size(given["size"]) if given["do_resize"] else None
            self._resample = Image.Resampling(given["resample"])
            self._values = _map_bytes(given)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"The options of the image processor cannot be used: {error!r}."
            raise InvalidWeights(msg) from error
        self._splits = bool(given["do_image_splitting"])

    def cut(self, image: Image.Image) -> Tiles:
        """Return the tiles of an image."""
        image = image.convert("RGB")
        if isinstance(self._size, int):
            image = self._resize(image, _fit(image.size, longest=self._size))
        elif self._size is not None:
            image = self._resize(image, self._size)
        if not self._splits:
            return Tiles(TileGrid(), self._normalise([self._resize(image, (self.side, self.side))]))
        image = self._resize(image, _round_up(image.size, side=self.side))
        columns, rows = image.width // self.side, image.height // self.side
        if rows == columns == 1:
            return Tiles(TileGrid(), self._normalise([image]))
        tiles = [self._crop(image, row, column) for row in range(rows) for column in range(columns)]
        whole = self._resize(image, (self.side, self.side))
        return Tiles(TileGrid(rows, columns), self._normalise([*tiles, whole]))

    def _resize(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        return image.resize(size, self._resample)

    def _crop(self, image: Image.Image, row: int, column: int) -> Image.Image:
        left, top = column * self.side, row * self.side
        return image.crop((left, top, left + self.side, top + self.side))

    def _normalise(self, tiles: Sequence[Image.Image]) -> NDArray[np.float32]:
        pixels = np.empty((len(tiles), 3, self.side, self.side), np.float32)
        for place, tile in enumerate(tiles):
            for channel, plane in enumerate(tile.split()):
                pixels[place, channel] = self._values[channel][np.asarray(plane)]
        return pixels


def _read_size(size: Mapping[str, Any]) -> int | tuple[int, int]:
    """The longest edge, or width and height."""
    if size.get("longest_edge"):
        return int(size["longest_edge"])
    return int(size["width"]), int(size["height"])


def _map_bytes(given: Mapping[str, Any]) -> NDArray[np.float32]:
    """What each byte becomes in each channel, (3, 256), rounded where transformers rounds."""
    values = np.arange(256, dtype=np.float64)
    if given["do_rescale"]:
        values = values * given["rescale_factor"]
    channels = np.tile(values.astype(np.float32), (3, 1))
    if given["do_normalize"]:
        mean, std = (np.array(given[name], np.float32) for name in ("image_mean", "image_std"))
        channels = (channels - mean.reshape(-1, 1)) / std.reshape(-1, 1)
    if channels.shape != (3, 256):
        msg = "image_mean and image_std must have one or three numbers"
        raise ValueError(msg)
    return channels


def _fit(size: tuple[int, int], *, longest: int) -> tuple[int, int]:
    """Width and height with that longest side; the other one is even."""
    ratio = size[0] / size[1]
    if size[0] >= size[1]:
        width, height = longest, _make_even(int(longest / ratio))
    else:
        width, height = _make_even(int(longest * ratio)), longest
    width, height = max(width, 1), max(height, 1)
    ratio = width / height
    if width >= height and width > LONGEST_SIDE:
        return LONGEST_SIDE, max(int(LONGEST_SIDE / ratio), 1)
    if height > width and height > LONGEST_SIDE:
        return max(int(LONGEST_SIDE * ratio), 1), LONGEST_SIDE
    return width, height


def _make_even(length: int) -> int:
    return length + length % 2


def _round_up(size: tuple[int, int], *, side: int) -> tuple[int, int]:
    """Width and height as multiples of `side`, about in proportion."""
    width, height = size
    ratio = width / height
    if width >= height:
        width = ceil(width / side) * side
        return width, ceil(int(width / ratio) / side) * side
    height = ceil(height / side) * side
    return ceil(int(height * ratio) / side) * side, height
