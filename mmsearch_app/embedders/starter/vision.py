"""What an image shows, its shape and its texture, from one network."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from django.utils.functional import cached_property
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw
from torch.nn import functional

from mmsearch_app.embedders.starter import weights
from mmsearch_app.embedders.starter.networks import EfficientNetLite0
from mmsearch_app.embedders.starter.wording import DRAWN_PATTERNS

if TYPE_CHECKING:
    from mmsearch_app.embedders.starter.foreground import Sight

_SIDE = 224
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


class Vision:
    """The classifier, loaded from its pinned file. Raises PartMissing if that is not installed."""

    def __init__(self, *, device: str) -> None:
        self.device = device
        with torch.device("meta"):  # allocates nothing: the file has all weights
            self.network = EfficientNetLite0()
        file = io.BytesIO(weights.CLASSIFIER.read())
        self.network.load(torch.load(file, map_location="cpu", weights_only=True))
        self.network.requires_grad_(requires_grad=False).train(mode=False)
        self.network.fuse()
        self.network.to(device)

    def see(self, images: Sequence[Image.Image], sights: Sequence[Sight], *, batch: int) -> Seen:
        """Classify RGB images of any size, `batch` at a time."""
        parts = [
            self._see(images[start : start + batch], sights[start : start + batch])
            for start in range(0, len(images), batch)
        ]
        return Seen(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @torch.inference_mode()
    def _see(self, images: Sequence[Image.Image], sights: Sequence[Sight]) -> Seen:
        logits, shapes, textures = self.network(self._pixels([_whole(i) for i in images]))
        oblong = [i for i, image in enumerate(images) if _is_oblong(image)]
        if oblong:
            middles = self.network(self._pixels([_middle(images[i]) for i in oblong]))
            logits[oblong] = (logits[oblong] + middles[0]) / 2
        logits = logits - self.habit
        masks = torch.stack([_square_mask(sight) for sight in sights]).to(self.device)
        masks = functional.adaptive_avg_pool2d(masks, textures.shape[-2:])
        rows = (
            torch.softmax(logits / TEMPERATURE, dim=1),
            functional.normalize(shapes.mean((2, 3))),
            functional.normalize((textures * masks).sum((2, 3))),
        )
        return Seen(*(row.cpu().numpy() for row in rows))

    @cached_property
    def habit(self) -> torch.Tensor:
        """The mean logits (1000,) of blank images, subtracted from those of real ones.

        A classifier prefers some classes whatever it sees; this is contextual calibration (Zhao et
        al., ICML 2021).
        """
        blank = [Image.new("RGB", (_SIDE, _SIDE), grey) for grey in BLANK]
        return self.network(self._pixels(blank))[0].mean(0)  # type: ignore[no-any-return]

    @torch.inference_mode()
    def pattern_textures(self) -> dict[str, NDArray[np.float32]]:
        """Return the texture that each drawn pattern adds to plain cloth; (112,), length 1.

        "plain" is what plain cloth has and printed cloth lacks.
        """
        means = {}
        for pattern in DRAWN_PATTERNS:
            textures = self.network(self._pixels(draw_swatches(pattern)))[2].mean((2, 3))
            means[pattern] = functional.normalize(textures).mean(0)
        printed = torch.stack([mean for name, mean in means.items() if name != "plain"]).mean(0)
        means = {n: m - (printed if n == "plain" else means["plain"]) for n, m in means.items()}
        return {n: functional.normalize(m, dim=0).cpu().numpy() for n, m in means.items()}

    def _pixels(self, views: list[Image.Image]) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack([np.asarray(view) for view in views]))
        return (pixels.to(self.device).permute(0, 3, 1, 2).float() - 127) / 128


def _whole(image: Image.Image) -> Image.Image:
    """Put the whole image in the middle of a white square."""
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    square = Image.new("RGB", (_SIDE, _SIDE), "white")
    offset = ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2)
    square.paste(image.convert("RGB").resize(size, Image.Resampling.BICUBIC), offset)
    return square


def _is_oblong(image: Image.Image) -> bool:
    return min(image.size) < NARROW * max(image.size)


def _middle(image: Image.Image) -> Image.Image:
    """Crop the largest square in the middle of the image."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, box)


def _square_mask(sight: Sight) -> torch.Tensor:
    """Put the object's weights in the middle of a square, like the image in `_whole`."""
    height, width = sight.weights.shape
    side = max(height, width)
    square = torch.zeros(1, side, side)
    top, left = (side - height) // 2, (side - width) // 2
    square[0, top : top + height, left : left + width] = torch.from_numpy(sight.weights)
    return functional.adaptive_avg_pool2d(square, _SIDE // 4) + 1e-4


def draw_swatches(pattern: str) -> list[Image.Image]:
    """Draw a pattern in several colours and sizes, as square RGB images of 224 pixels."""
    return [_draw(pattern, ink, ground, step) for ink, ground in PAIRS for step in STEPS]


def _draw(pattern: str, ink: str, ground: str, step: int) -> Image.Image:
    cloth = Image.new("RGB", (_SIDE, _SIDE), ground)
    cloth.paste(ink, mask=_stencil(pattern, step))
    return cloth


def _stencil(pattern: str, step: int) -> Image.Image:
    """Return where the ink goes, 0 to 255."""
    stripes, dots = Image.new("L", (_SIDE, _SIDE)), Image.new("L", (_SIDE, _SIDE))
    for y in range(0, _SIDE, 2 * step):
        ImageDraw.Draw(stripes).rectangle((0, y, _SIDE, y + step - 1), "#808080")
        for x in range(y // 2 % (2 * step), _SIDE, 2 * step):
            ImageDraw.Draw(dots).ellipse((x, y, x + step, y + step), "white")
    across = stripes.transpose(Image.Transpose.TRANSPOSE)
    return {
        "plain": Image.new("L", (_SIDE, _SIDE), "white"),
        "striped": stripes.point(lambda value: 255 * (value > 0)),
        "dotted": dots,
        "checked": ImageChops.add(stripes, across),  # where the stripes cross, the ink is thick
    }[pattern]
