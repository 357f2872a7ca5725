"""The first part of the training: to see. Imports torch.

The vision encoder learns to name kind, colour, pattern and second colour from each of a
picture's tokens, by linear heads that are thrown away: a text model finds there what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from example_shop.llvm.looks import KINDS, PRINTS, SHADES, Look

SIZES = {"kind": len(KINDS), "colour": len(SHADES), "pattern": len(PRINTS), "accent": len(SHADES)}
NONE = -100
"""The label of what a picture does not have."""


class Heads(nn.Module):
    """Names the attributes that each token of a picture speaks of."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, n) for name, n in SIZES.items()})

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Logits (pictures, tokens + 1, choices) of each attribute; the last is of the mean."""
        every = torch.cat([tokens, tokens.mean(dim=1, keepdim=True)], dim=1)
        normed = self.norm(every)
        return {name: head(normed) for name, head in self.heads.items()}


def labels_of(looks: Sequence[Look]) -> dict[str, Tensor]:
    """The number of each attribute's value, (looks,)."""
    return {
        "kind": torch.tensor([KINDS.index(look.kind) for look in looks]),
        "colour": torch.tensor([SHADES.index(look.colour) for look in looks]),
        "pattern": torch.tensor([PRINTS.index(look.pattern) for look in looks]),
        "accent": torch.tensor(
            [
                SHADES.index(look.accent) if look.accent and look.pattern != "plain" else NONE
                for look in looks
            ]
        ),
    }


def normalise(pixels: NDArray[np.uint8] | Tensor) -> Tensor:
    """(n, side, side, 3), 0 to 255, as the model's processor would: (n, 3, side, side), -1 to 1."""
    found = torch.as_tensor(np.asarray(pixels)).permute(0, 3, 1, 2).float()
    return found / 127.5 - 1


def augment(images: Tensor, chance: torch.Generator) -> Tensor:
    """Mirror, move and scale three of four pictures a little; the others stay as they are."""
    count = len(images)
    moved = torch.rand(count, generator=chance) < 0.75
    mirrored = torch.where(torch.rand(count, generator=chance) < 0.5, -1.0, 1.0)
    scale = 1 + 0.12 * (2 * torch.rand(count, generator=chance) - 1)
    shift = 0.1 * (2 * torch.rand(count, 2, generator=chance) - 1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = mirrored * scale, scale
    theta[:, :, 2] = shift
    changed = images.clone()
    grid = nn.functional.affine_grid(
        theta[moved], [int(moved.sum()), *images.shape[1:]], align_corners=False
    )
    changed[moved] = nn.functional.grid_sample(
        images[moved], grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return changed.clamp_(-1, 1)


def see(network: Any, images: Tensor) -> Tensor:
    """The tokens of each picture, (pictures, tokens, width), in the images' precision."""
    hidden = network.model.vision_model(pixel_values=images).last_hidden_state
    return network.model.connector(hidden)  # type: ignore[no-any-return]


def whiten_patches(network: Any, images: Tensor) -> None:
    """Begin with filters that see a patch's principal components, each of the same variance.

    Saves the first epochs, in which such filters would be found by descent (as in K. Jordan,
    94% on CIFAR-10 in 3.29 seconds, arXiv 2404.00498).
    """
    layer = network.model.vision_model.embeddings.patch_embedding
    side = layer.kernel_size[0]
    patches = nn.functional.unfold(images, side, stride=side).transpose(1, 2)
    flat = patches.reshape(-1, patches.shape[-1])
    mean = flat.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov((flat - mean).T))
    best = values.argsort(descending=True)[: layer.out_channels]
    # the rarer components are noise: damped by a floor of a thousandth of the largest
    scale = (values[best] + values.max() * 1e-3).rsqrt()
    filters = vectors[:, best].T * scale[:, None]
    with torch.no_grad():
        layer.weight.copy_(filters.reshape(layer.weight.shape) * 0.5)
        layer.bias.copy_(-(filters @ mean) * 0.5)


def losses(logits: dict[str, Tensor], labels: dict[str, Tensor]) -> Tensor:
    """The mean cross entropy of all heads and tokens."""
    total = torch.zeros(())
    for name, found in logits.items():
        wanted = labels[name][:, None].expand(found.shape[:2])
        total = total + nn.functional.cross_entropy(
            found.float().flatten(0, 1), wanted.flatten(), ignore_index=NONE, label_smoothing=0.05
        )
    return total / len(logits)


@torch.no_grad()
def accuracies(
    network: Any, heads: Heads, images: Tensor, looks: Sequence[Look]
) -> dict[str, float]:
    """The share of pictures whose attributes the heads name rightly from the mean token."""
    found: dict[str, list[Tensor]] = {name: [] for name in SIZES}
    for part in torch.split(images, 128):
        logits = heads(see(network, part).float())
        for name, row in logits.items():
            found[name].append(row[:, -1].argmax(dim=-1))
    labels = labels_of(looks)
    shares = {}
    for name, parts in found.items():
        known = labels[name] != NONE
        shares[name] = float((torch.cat(parts) == labels[name])[known].float().mean())
    return shares


def shuffled(count: int, size: int, chance: torch.Generator) -> Iterator[Tensor]:
    """Batches of numbers below `count`, epoch after epoch."""
    while True:
        order = torch.randperm(count, generator=chance)
        yield from (part for part in torch.split(order, size) if len(part) == size)
