"""Images as tokens of the language model. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel
from transformers.models.clip.modeling_clip import CLIPVisionEmbeddings

from mmsearch_app.rerankers.phi3_vision.crops import CROP


class ImageTokens(nn.Module):
    """A CLIP tower, patches merged two by two, learned separators and a projection.

    Attributes are named as in the released file. The tower is built without its last layer:
    only the states before it are used (`hidden_states[-2]` of the whole tower).
    """

    def __init__(self, vision: Mapping[str, Any], *, width: int) -> None:
        super().__init__()
        self.layers: int = vision["num_hidden_layers"] - 1
        self.side: int = vision["image_size"] // vision["patch_size"] // 2
        self.img_processor: Any = CLIPVisionModel(
            CLIPVisionConfig(**{**vision, "num_hidden_layers": self.layers})
        )
        merged = 4 * vision["hidden_size"]
        self.img_projection = nn.Sequential(
            nn.Linear(merged, width), nn.GELU(), nn.Linear(width, width)
        )
        self.sub_GN = nn.Parameter(torch.zeros(1, 1, 1, merged))
        self.glb_GN = nn.Parameter(torch.zeros(1, 1, merged))
        for module in self.img_processor.modules():
            if isinstance(module, CLIPVisionEmbeddings):  # no file contains these: never on "meta"
                places = torch.arange(module.num_positions, device="cpu")
                module.position_ids = nn.Buffer(places.expand(1, -1), persistent=False)

    def forward(self, pixel_values: Tensor, image_sizes: Tensor) -> Tensor:
        """Return the tokens of all images in sequence, (tokens, width).

        `pixel_values` is (images, crops + 1, 3, 336, 336), `image_sizes` (images, 2) the height
        and width after padding. Crops that are only filler are skipped. Images go through the
        tower one by one: none depends on its neighbours, and memory stays small.
        """
        return torch.cat(list(self._each(pixel_values, image_sizes)))

    def _each(self, pixel_values: Tensor, image_sizes: Tensor) -> Iterator[Tensor]:
        for crops, (height, width) in zip(pixel_values, image_sizes.tolist(), strict=True):
            rows, columns = height // CROP, width // CROP
            features = self._merge(crops[: 1 + rows * columns].to(self.sub_GN.dtype))
            tokens = [
                self._separate(_tile(features[1:], rows)),
                self.glb_GN[0],
                self._separate(features[0]),
            ]
            yield self.img_projection(torch.cat(tokens))

    def _merge(self, crops: Tensor) -> Tensor:
        """Patches of each crop, two by two: (crops, side, side, 4 × width of the tower)."""
        patches: Tensor = self.img_processor(crops).last_hidden_state[:, 1:]
        grid = patches.reshape(len(crops), self.side, 2, self.side, 2, -1)
        return grid.transpose(2, 3).flatten(3)

    def _separate(self, features: Tensor) -> Tensor:
        """Put the separator after every row of (rows, columns, n); return all in sequence."""
        ends = self.sub_GN[0].expand(len(features), -1, -1)
        return torch.cat([features, ends], dim=1).flatten(0, 1)


def _tile(features: Tensor, rows: int) -> Tensor:
    """Lay (rows × columns, side, side, n) out as one image (rows × side, columns × side, n)."""
    tiles = features.reshape(rows, -1, *features.shape[1:]).transpose(1, 2)
    return tiles.flatten(2, 3).flatten(0, 1)
