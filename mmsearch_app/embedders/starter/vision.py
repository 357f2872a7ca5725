"""What a picture shows, its shape and its texture, from one network."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from mmsearch_app.embedders.starter import weights
from mmsearch_app.embedders.starter.network import EfficientNetLite0
from mmsearch_app.embedders.starter.swatches import PATTERNS, draw_swatches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsearch_app.embedders.starter.foreground import Sight

__all__ = ["Seen", "Vision"]

_SIDE = 224
NARROW = 0.9  # a picture more oblong than this is looked at twice
TEMPERATURE = 1.75  # softens the posteriors: what else it might be tells what it is like

BLANK = ("#ffffff", "#f0f0f0", "#808080", "#000000")  # what product pictures have behind things


class Seen(NamedTuple):
    """Posteriors (n, 1000) that sum to 1; shapes (n, 320) and textures (n, 112) of length 1."""

    posteriors: NDArray[np.float32]
    shapes: NDArray[np.float32]
    textures: NDArray[np.float32]


class Vision:
    """The classifier, loaded from its pinned file. Raises PartMissing where that is not there."""

    def __init__(self, *, device: str) -> None:
        self.device = device
        with torch.device("meta"):  # the weights replace all of it
            self.network = EfficientNetLite0()
        file = io.BytesIO(weights.CLASSIFIER.read())
        self.network.load(torch.load(file, map_location="cpu", weights_only=True))
        self.network.requires_grad_(requires_grad=False).train(mode=False)
        self.network.fuse()
        self.network.to(device)

    def see(self, images: Sequence[Image.Image], sights: Sequence[Sight], *, batch: int) -> Seen:
        """Look at RGB pictures of any size, `batch` at a time."""
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
        """The logits (1000,) where there is nothing to see, which say nothing of a picture.

        A classifier prefers some classes whatever it is shown; taking that off is contextual
        calibration (Zhao et al., ICML 2021).
        """
        blank = [Image.new("RGB", (_SIDE, _SIDE), grey) for grey in BLANK]
        return self.network(self._pixels(blank))[0].mean(0)  # type: ignore[no-any-return]

    @torch.inference_mode()
    def pattern_textures(self) -> dict[str, NDArray[np.float32]]:
        """The texture that each pattern of `swatches` adds to plain cloth; (112,), length 1."""
        means = {}
        for pattern in PATTERNS:
            textures = self.network(self._pixels(draw_swatches(pattern)))[2].mean((2, 3))
            means[pattern] = functional.normalize(textures).mean(0)
        printed = torch.stack([mean for name, mean in means.items() if name != "plain"]).mean(0)
        means = {n: m - (printed if n == "plain" else means["plain"]) for n, m in means.items()}
        return {n: functional.normalize(m, dim=0).cpu().numpy() for n, m in means.items()}

    def _pixels(self, views: list[Image.Image]) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack([np.asarray(view) for view in views]))
        return (pixels.to(self.device).permute(0, 3, 1, 2).float() - 127) / 128


def _whole(image: Image.Image) -> Image.Image:
    """The whole picture in the middle of a white square."""
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    square = Image.new("RGB", (_SIDE, _SIDE), "white")
    offset = ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2)
    square.paste(image.convert("RGB").resize(size, Image.Resampling.BICUBIC), offset)
    return square


def _is_oblong(image: Image.Image) -> bool:
    return min(image.size) < NARROW * max(image.size)


def _middle(image: Image.Image) -> Image.Image:
    """The largest square in the middle of the picture."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, box)


def _square_mask(sight: Sight) -> torch.Tensor:
    """The object's weights in the middle of a square, as `_whole` places the picture."""
    height, width = sight.weights.shape
    side = max(height, width)
    square = torch.zeros(1, side, side)
    top, left = (side - height) // 2, (side - width) // 2
    square[0, top : top + height, left : left + width] = torch.from_numpy(sight.weights)
    return functional.adaptive_avg_pool2d(square, _SIDE // 4) + 1e-4
