"""The network: a text encoder that sees patches between its first token and the text.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import AutoConfig, BertModel, XLMRobertaModel

from mmsearch_app.embedders.visualized_bge.architecture import (
    BGEArchitecture,
    name_released,
    unused_layout,
)
from mmsearch_app.embedders.visualized_bge.vision import VisionTower
from mmsearch_app.inference import (
    WordTokenizer,
    check_layout,
    crop_square,
    normalise_pixels,
    round_half,
    shapes_of,
)

if TYPE_CHECKING:
    from PIL import Image

ENCODERS: dict[str, Any] = {"bert": BertModel, "xlm-roberta": XLMRobertaModel}


class VisualizedNetwork(nn.Module):
    """Image tower, projection and text encoder, whose pooler is in the file but never applied."""

    def __init__(self, architecture: BGEArchitecture, text: Any | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        encoder = ENCODERS[architecture.text["model_type"]]
        config = AutoConfig.for_model(**architecture.text)
        self.text = encoder(config, add_pooling_layer=False) if text is None else text
        self.vision = VisionTower(architecture)
        self.projection = nn.Linear(architecture.width, architecture.width)

    def forward(self, pixels: Tensor | None, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the first token's last state, (n, width).

        A text alone has the encoder's own positions. With an image, its tokens have 0, N + 1,
        N + 2, … in both encoders, and the N patches have 1 to N.
        """
        words = self.text.embeddings.word_embeddings(ids)
        first = self.architecture.first_position
        if pixels is not None:
            words = torch.cat([words[:, :1], self._patches(pixels), words[:, 1:]], dim=1)
            seen = mask.new_ones(len(mask), self.architecture.patches)
            mask = torch.cat([seen, mask], dim=1)
            first = 0
        places = torch.arange(first, first + words.shape[1], device=ids.device)
        states = self.text(
            inputs_embeds=words, attention_mask=mask, position_ids=places.unsqueeze(0)
        )
        found: Tensor = states[0][:, 0]
        return found

    def _patches(self, pixels: Tensor) -> Tensor:
        """Return patches as word embeddings, less the token type that the encoder will add."""
        projected = self.projection(self.vision(pixels))
        patches: Tensor = projected - self.text.embeddings.token_type_embeddings.weight[0]
        return patches


class VisualizedEncoder:
    """A loaded network with its tokenizer."""

    def __init__(self, network: VisualizedNetwork, words: WordTokenizer) -> None:
        self.network = network
        self.words = words
        self.size = network.architecture.image_size

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Crop the middle of the image exactly as torchvision does."""
        return crop_square(image, self.size, begin=round_half)

    def embed(self, images: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None) -> Tensor:
        """Return vectors of length 1, float32 (n, width). An image alone gets the text ""."""
        architecture, weight = self.network.architecture, self.network.projection.weight
        pixels = None
        if images is not None:
            pixels = normalise_pixels(images, device=weight.device, dtype=weight.dtype)
            texts = texts or [""] * len(images)
        limit = architecture.text_limit if pixels is None else architecture.composed_limit
        ids, mask = self.words(texts or (), limit=limit, device=weight.device)
        return normalize(self.network(pixels, ids, mask).float(), dim=-1)


def released_bge_layout(architecture: BGEArchitecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of every key of the released file; allocates no weights."""
    with torch.device("meta"):
        network = VisualizedNetwork(architecture)
    used = {name_released(key): shape for key, shape in shapes_of(network.state_dict()).items()}
    return used | unused_layout(architecture)


def load_visualized_bge(
    architecture: BGEArchitecture, state: Mapping[str, Tensor], *, origin: object
) -> VisualizedNetwork:
    """Build the network with the tensors of a released file, on the CPU, in float32.

    Raises InvalidWeights unless keys and shapes are exactly those of the release.
    """
    check_layout(shapes_of(state), released_bge_layout(architecture), origin=origin)
    encoder = ENCODERS[architecture.text["model_type"]]
    text = encoder.from_pretrained(
        None,
        config=AutoConfig.for_model(**architecture.text),
        state_dict={
            key.removeprefix("bge_"): tensor
            for key, tensor in state.items()
            if key.startswith(("bge_embeddings.", "bge_encoder."))
        },
        add_pooling_layer=False,
        dtype=torch.float32,
    )
    with torch.device("meta"):
        network = VisualizedNetwork(architecture, text)
    rest = [key for key in network.state_dict() if not key.startswith("text.")]
    network.load_state_dict(
        {key: state[name_released(key)].float() for key in rest}, strict=False, assign=True
    )
    return network.eval().requires_grad_(requires_grad=False)
