"""What an image shows, its shape and its texture, from one network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from django.utils.functional import cached_property
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from mmsearch_app.embedders.starter import weights
from mmsearch_app.embedders.starter.blocks import unit
from mmsearch_app.embedders.starter.checkpoints import read_torch
from mmsearch_app.embedders.starter.networks import SIDE, build_classifier
from mmsearch_app.embedders.starter.sessions import Session
from mmsearch_app.embedders.starter.wording import DRAWN_PATTERNS

if TYPE_CHECKING:
    from mmsearch_app.embedders.starter.foreground import Sight

_GRID: Final = 14  # cells along each side of the texture features
_LEAST: Final = 1e-4  # weight of cells without any of the object
NARROW = 0.9  # an image more oblong than this is classified twice, whole and cropped
TEMPERATURE = 1.75  # softens the posteriors: less likely classes say what the object is like
BLANK = ("#ffffff", "#f0f0f0", "#808080", "#000000")  # usual backgrounds of product images

STEPS = (8, 14, 24)  # pixels of a stripe of a drawn pattern
PAIRS = (("#cb2229", "#f5f4f1"), ("#2668c4", "#f5f4f1"), ("#1e2a56", "#f5cb34"))


class Seen(NamedTuple):
    """Posteriors (n, 1000) that sum to 1; shapes (n, 320) and textures (n, 112) of length 1."""

    posteriors: NDArray[np.float32]
    shapes: NDArray[np.float32]
    textures: NDArray[np.float32]


class _Look(NamedTuple):
    """What the classifier reads of an image, squares of 224 pixels, and its object's (14, 14)."""

    whole: Image.Image
    middle: Image.Image | None
    mask: NDArray[np.float32]


class Vision:
    """The classifier, loaded from its pinned file. Raises PartMissing if that is not installed."""

    def __init__(self, *, threads: int | None) -> None:
        content = weights.CLASSIFIER.map()
        network = build_classifier(read_torch(content))
        self._session = Session(network, threads=threads, built=partial(weights.give_back, content))

    def see(self, images: Sequence[Image.Image], sights: Sequence[Sight], *, batch: int) -> Seen:
        """Classify RGB images of any size, `batch` at a time, while others are scaled."""
        if len(images) == 1:  # no other to scale meanwhile
            return self._see([_look(images[0], sights[0])])
        with ThreadPoolExecutor(_count_scaling()) as pool:
            looks = pool.map(_look, images, sights)
            parts = [self._see(some) for some in iter(lambda: list(islice(looks, batch)), [])]
        return Seen(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _see(self, looks: Sequence[_Look]) -> Seen:
        count = len(looks)
        oblong = [i for i, look in enumerate(looks) if look.middle is not None]
        middles = [look.middle for look in looks if look.middle is not None]
        logits, shapes, textures = self.classify([*(look.whole for look in looks), *middles])
        logits[oblong] = (logits[oblong] + logits[count:]) / 2
        masks = np.stack([look.mask for look in looks])
        return Seen(
            _softmax((logits[:count] - self.habit) / TEMPERATURE),
            units(shapes[:count]),
            units(np.einsum("nchw,nhw->nc", textures[:count], masks)),
        )

    def classify(self, views: Sequence[Image.Image]) -> list[NDArray[np.float32]]:
        """Return logits (n, 1000), shapes (n, 320) and textures (n, 112, 14, 14) of RGB squares."""
        return self._session.run(pixels=np.stack([np.asarray(view) for view in views]))

    @cached_property
    def habit(self) -> NDArray[np.float32]:
        """The mean logits (1000,) of blank images, subtracted from those of real ones.

        A classifier prefers some classes whatever it sees; this is contextual calibration (Zhao et
        al., ICML 2021).
        """
        blank = [Image.new("RGB", (SIDE, SIDE), grey) for grey in BLANK]
        return np.asarray(self.classify(blank)[0].mean(axis=0))

    def pattern_textures(self) -> dict[str, NDArray[np.float32]]:
        """Return the texture that each drawn pattern adds to plain cloth; (112,), length 1.

        "plain" is what plain cloth has and printed cloth lacks.
        """
        means = {}
        for pattern in DRAWN_PATTERNS:
            swatches = draw_swatches(pattern)
            starts = range(0, len(swatches), len(BLANK))  # more at once would keep more memory
            parts = [self.classify(swatches[at : at + len(BLANK)])[2] for at in starts]
            textures = np.concatenate(parts).mean(axis=(2, 3))
            means[pattern] = units(textures).mean(axis=0)
        printed = np.mean([mean for name, mean in means.items() if name != "plain"], axis=0)
        means = {n: m - (printed if n == "plain" else means["plain"]) for n, m in means.items()}
        return {name: unit(mean) for name, mean in means.items()}


def units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1; zeros stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def _count_scaling() -> int:
    """Return how many threads scale images; Pillow lets others run meanwhile."""
    return min(4, os.cpu_count() or 1)


def _look(image: Image.Image, sight: Sight) -> _Look:
    middle = _middle(image) if _is_oblong(image) else None
    return _Look(_whole(image), middle, _square_mask(sight))


def _whole(image: Image.Image) -> Image.Image:
    """Put the whole image in the middle of a white square."""
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    square = Image.new("RGB", (SIDE, SIDE), "white")
    offset = ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2)
    square.paste(_scale(image, size), offset)
    return square


def _is_oblong(image: Image.Image) -> bool:
    return min(image.size) < NARROW * max(image.size)


def _middle(image: Image.Image) -> Image.Image:
    """Crop the largest square in the middle of the image."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return _scale(image, (SIDE, SIDE), box)


def _scale(
    image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int] | None = None
) -> Image.Image:
    """Resample; an image of at least four times the size is halved first, which is faster."""
    return image.resize(size, Image.Resampling.BICUBIC, box, reducing_gap=2.0)


def _square_mask(sight: Sight) -> NDArray[np.float32]:
    """Put the object's weights in the middle of a square, like the image in `_whole`; (14, 14)."""
    height, width = sight.weights.shape
    side = max(height, width)
    square = np.zeros((side, side))
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = sight.weights
    cells = _cells(side)
    return np.asarray(cells @ square @ cells.T + _LEAST, np.float32)


@cache
def _cells(side: int) -> NDArray[np.float64]:
    """Return what averages `side` pixels into the cells of the texture features; (14, side)."""
    return _averages(SIDE // 4, _GRID) @ _averages(side, SIDE // 4)


def _averages(size: int, cells: int) -> NDArray[np.float64]:
    """Return the matrix (cells, size) of means over equal, perhaps overlapping, stretches."""
    matrix = np.zeros((cells, size))
    for cell in range(cells):
        matrix[cell, cell * size // cells : -(-(cell + 1) * size // cells)] = 1
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def draw_swatches(pattern: str) -> list[Image.Image]:
    """Draw a pattern in several colours and sizes, as square RGB images of 224 pixels."""
    return [_draw(pattern, ink, ground, step) for ink, ground in PAIRS for step in STEPS]


def _draw(pattern: str, ink: str, ground: str, step: int) -> Image.Image:
    cloth = Image.new("RGB", (SIDE, SIDE), ground)
    cloth.paste(ink, mask=_stencil(pattern, step))
    return cloth


def _stencil(pattern: str, step: int) -> Image.Image:
    """Return where the ink goes, 0 to 255."""
    stripes, dots = Image.new("L", (SIDE, SIDE)), Image.new("L", (SIDE, SIDE))
    for y in range(0, SIDE, 2 * step):
        ImageDraw.Draw(stripes).rectangle((0, y, SIDE, y + step - 1), "#808080")
        for x in range(y // 2 % (2 * step), SIDE, 2 * step):
            ImageDraw.Draw(dots).ellipse((x, y, x + step, y + step), "white")
    across = stripes.transpose(Image.Transpose.TRANSPOSE)
    return {
        "plain": Image.new("L", (SIDE, SIDE), "white"),
        "striped": stripes.point(lambda value: 255 * (value > 0)),
        "dotted": dots,
        "checked": ImageChops.add(stripes, across),  # where the stripes cross, the ink is thick
    }[pattern]
