"""CLIP, and on top of it the layers that fuse its two features. Imports torch."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus
from transformers import CLIPConfig, CLIPModel

from mmsearch_app.embedders.bge_vl import pooled
from mmsearch_app.embedders.magiclens.architecture import MagicLensArchitecture
from mmsearch_app.embedders.magiclens.checkpoint import name_parameter, reorient
from mmsearch_app.inference import WordTokenizer, check_layout, normalise_pixels, shapes_of, squash

if TYPE_CHECKING:
    from PIL import Image

_EPS = 1e-6
LOGIT_CAP = 50.0
INVERSE_SOFTPLUS_0 = 1.442695041
"""1 / softplus(0): a learned scale of zeros multiplies the query by 1 / sqrt(d)."""


class MagicLensNetwork(nn.Module):
    def __init__(self, architecture: MagicLensArchitecture, clip: Any | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        self.clip = CLIPModel(configure(architecture)) if clip is None else clip
        self.fusion = Fusion(
            dimension=architecture.dimension,
            heads=architecture.fusion_heads,
            layers=architecture.fusion_layers,
        )

    def forward(self, pixels: Tensor, ids: Tensor) -> Tensor:
        """Map (n, 3, size, size) and (n, length) to (n, dimension), not normalised.

        Id 0 is padding, and like the original code this masks it everywhere, also as "!" in a text.
        """
        seen = pooled(self.clip.get_image_features(pixel_values=pixels))
        read = pooled(self.clip.get_text_features(input_ids=ids, attention_mask=(ids > 0).long()))
        fused: Tensor = self.fusion(torch.stack([seen, read], dim=1))
        return fused


class MagicLensEncoder:
    """A loaded network with its tokenizer."""

    def __init__(self, network: MagicLensNetwork, words: WordTokenizer) -> None:
        self.network = network
        self.words = words

    def prepare(self, image: Image.Image) -> NDArray[np.float32]:
        """Stretch the whole image to a square."""
        return squash(image, self.network.architecture.image_size)

    def embed(self, images: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None) -> Tensor:
        """Return vectors of length 1, float32 (n, dimension).

        The model takes only pairs: an image alone gets the text "", and a text alone an image of
        CLIP's mean colour.
        """
        like, architecture = self.network.fusion.pooler.query, self.network.architecture
        if images is None:
            side = architecture.image_size
            pixels = like.new_zeros(len(texts or ()), 3, side, side)
        else:
            pixels = normalise_pixels(images, device=like.device, dtype=like.dtype)
        clean = [html.unescape(html.unescape(text)) for text in texts or [""] * len(pixels)]
        ids, _ = self.words(clean, limit=architecture.text_limit, device=like.device)
        fused = self.network(pixels, ids).float()
        vectors: Tensor = fused / (fused.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        return vectors


def configure(architecture: MagicLensArchitecture) -> CLIPConfig:
    """Return the configuration of OpenAI's CLIP; `eos_token_id` 2 pools at the highest id."""
    shared = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
    text = {
        "vocab_size": architecture.vocabulary,
        "hidden_size": architecture.text_width,
        "intermediate_size": 4 * architecture.text_width,
        "num_hidden_layers": architecture.text_layers,
        "num_attention_heads": architecture.text_heads,
        "max_position_embeddings": architecture.text_limit,
        "bos_token_id": architecture.vocabulary - 2,
        "eos_token_id": 2,
    }
    vision = {
        "hidden_size": architecture.vision_width,
        "intermediate_size": 4 * architecture.vision_width,
        "num_hidden_layers": architecture.vision_layers,
        "num_attention_heads": architecture.vision_heads,
        "image_size": architecture.image_size,
        "patch_size": architecture.patch,
    }
    return CLIPConfig(
        text_config=text | shared,
        vision_config=vision | shared,
        projection_dim=architecture.dimension,
    )


def load_magiclens(
    architecture: MagicLensArchitecture, parameters: Mapping[str, NDArray[Any]], *, origin: object
) -> MagicLensNetwork:
    """Build the network with the arrays of the released file, on the CPU, in float32.

    Raises InvalidWeights unless keys and shapes are exactly the network's.
    """
    state = {
        name_parameter(key): reorient(key, torch.from_numpy(array))
        for key, array in parameters.items()
    }
    with torch.device("meta"):
        expected = shapes_of(MagicLensNetwork(architecture).state_dict())
    check_layout(shapes_of(state), expected, origin=origin)
    clip = CLIPModel.from_pretrained(
        None,
        config=configure(architecture),
        state_dict={
            key.removeprefix("clip."): tensor.contiguous()
            for key, tensor in state.items()
            if key.startswith("clip.")
        },
        dtype=torch.float32,
    )
    with torch.device("meta"):
        network = MagicLensNetwork(architecture, clip)
    fusion = {key: tensor for key, tensor in state.items() if key.startswith("fusion.")}
    network.load_state_dict(fusion, strict=False, assign=True)
    return network.eval().requires_grad_(requires_grad=False)


class Fusion(nn.Module):
    """Self-attention over the features (image, text), then one learned query that pools them.

    Maps (n, 2, dimension) to (n, dimension), not normalised.
    """

    def __init__(self, *, dimension: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FusionLayer(dimension, heads) for _ in range(layers))
        self.pooler = Pooler(dimension, heads)

    def forward(self, features: Tensor) -> Tensor:
        for layer in self.layers:
            features = layer(features)
        pooled: Tensor = self.pooler(features)
        return pooled


class FusionLayer(nn.Module):
    """Attention, then a feed-forward layer of four times the width with ReLU."""

    def __init__(self, dimension: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dimension, eps=_EPS)
        self.attention = CappedAttention(dimension, heads, head_width=dimension // heads)
        self.norm2 = nn.LayerNorm(dimension, eps=_EPS)
        self.widen = nn.Linear(dimension, 4 * dimension)
        self.narrow = nn.Linear(4 * dimension, dimension)

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        query = self.attention.project_query(normed) * self.attention.head_width**-0.5
        tokens = tokens + self.attention(query, normed)
        fed: Tensor = tokens + self.narrow(self.widen(self.norm2(tokens)).relu())
        return fed


class Pooler(nn.Module):
    """Attention of one learned query: heads four times as wide, each channel scaled."""

    def __init__(self, dimension: int, heads: int) -> None:
        super().__init__()
        width = 4 * dimension // heads
        self.query = nn.Parameter(torch.zeros(1, dimension))
        self.scale = nn.Parameter(torch.zeros(width))
        self.attention = CappedAttention(dimension, heads, head_width=width)
        self.norm = nn.LayerNorm(dimension, eps=_EPS)

    def forward(self, tokens: Tensor) -> Tensor:
        scale = INVERSE_SOFTPLUS_0 / math.sqrt(len(self.scale)) * softplus(self.scale)
        query = self.attention.project_query(self.query.unsqueeze(0)) * scale
        pooled: Tensor = self.norm(self.attention(query, tokens))
        return pooled[:, 0]


class CappedAttention(nn.Module):
    """Attention with logits `50 tanh(x / 50)`. The caller projects and scales the query."""

    def __init__(self, dimension: int, heads: int, *, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.query = nn.Linear(dimension, heads * head_width)
        self.key = nn.Linear(dimension, heads * head_width)
        self.value = nn.Linear(dimension, heads * head_width)
        self.out = nn.Linear(heads * head_width, dimension)

    def project_query(self, tokens: Tensor) -> Tensor:
        """Map (n, length, dimension) to (n, heads, length, head width)."""
        return self._split(self.query(tokens))

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        logits = query @ self._split(self.key(tokens)).transpose(2, 3)
        shares = (LOGIT_CAP * torch.tanh(logits / LOGIT_CAP)).softmax(dim=-1)
        mixed = shares @ self._split(self.value(tokens))
        projected: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return projected

    def _split(self, projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], -1, self.head_width).transpose(1, 2)
