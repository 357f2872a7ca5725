"""Images as CLIP-like models expect them, bit-identical to torchvision but without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    import torch

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation per channel of OpenAI's CLIP; EVA-CLIP and MagicLens use them too."""

MAX_RATIO = 16
"""Of an image longer than this, only the middle is resized: 1 × 1024 would become 51 MP."""


def floor_half(rest: int) -> int:
    """Return where transformers' CLIP begins a crop that leaves out `rest` pixels."""
    return rest // 2


def round_half(rest: int) -> int:
    """Return where torchvision begins it: one pixel later for every other odd number."""
    return round(rest / 2)


def crop_square(image: Image.Image, size: int, *, begin: Callable[[int], int]) -> NDArray[np.uint8]:
    """Resize the shorter side to `size`, then crop the middle: RGB (size, size, 3).

    Bicubic and antialiased. The longer side becomes `int(size * long / short)`. Modes other than
    RGB are converted last.
    """
    width, height = image.size
    short = min(width, height)
    wide, high = int(size * width / short), int(size * height / short)
    left, top = begin(wide - size), begin(high - size)
    if max(width, height) > MAX_RATIO * short:
        right = min((left + size) * width / wide, width)
        bottom = min((top + size) * height / high, height)
        box = (left * width / wide, top * height / high, right, bottom)
        square = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    else:
        whole = image.resize((wide, high), Image.Resampling.BICUBIC)
        square = whole.crop((left, top, left + size, top + size))
    return np.asarray(square.convert("RGB"))


def squash(image: Image.Image, size: int) -> NDArray[np.float32]:
    """Divide by the image's own maximum, then stretch to float32 (size, size, 3), 0 to 1.

    Bilinear and antialiased; the aspect ratio changes (MagicLens, `data_utils.process_img`).
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    return stretch(pixels / (pixels.max() + np.float32(1e-12)), size)


def stretch(pixels: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Do what `jax.image.resize(…, "bilinear")` does: (height, width, 3) to (size, size, 3)."""
    import torch
    from torch.nn.functional import interpolate

    planes = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    small = interpolate(planes, (size, size), mode="bilinear", antialias=True)
    resized: NDArray[np.float32] = small[0].permute(1, 2, 0).numpy()
    return resized


def normalise_pixels(
    images: Sequence[NDArray[np.uint8 | np.float32]], *, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Stack images to (n, 3, size, size), scaled to 0 to 1 and normalised by `MEAN` and `STD`.

    Bytes are divided by 255. Computes in float32 on the device, then rounds to `dtype`.
    """
    import torch

    stacked = torch.from_numpy(np.stack(images)).to(device)
    planes = stacked.permute(0, 3, 1, 2).contiguous()
    scaled = planes.float().div_(255) if planes.dtype == torch.uint8 else planes.float()
    mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(STD, device=device).view(3, 1, 1)
    return scaled.sub(mean).div_(std).to(dtype)


def trim(image: Image.Image, *, ratio: int = 50) -> Image.Image:
    """Convert to RGB, and crop an image longer than `ratio` to its middle.

    For the image processors of libraries, which would resize 1 × 1024 to 51 MP.
    """
    image = image.convert("RGB")
    longest = ratio * min(image.size)
    if max(image.size) <= longest:
        return image
    left, top = (max(0, (side - longest) // 2) for side in image.size)
    width, height = (min(side, longest) for side in image.size)
    return image.crop((left, top, left + width, top + height))
