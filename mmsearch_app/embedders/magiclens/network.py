"""CLIP with the fusion on top. Imports torch."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from mmsearch_app.embedders.bge_vl import pooled
from mmsearch_app.embedders.magiclens.architecture import MagicLensArchitecture
from mmsearch_app.embedders.magiclens.checkpoint import name_parameter, reorient
from mmsearch_app.embedders.magiclens.fusion import Fusion
from mmsearch_app.inference import WordTokenizer, check_layout, normalise_pixels, shapes_of, squash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["MagicLensEncoder", "MagicLensNetwork", "load_magiclens"]


class MagicLensNetwork(nn.Module):
    """Pixels and token ids to one vector."""

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
        """(n, 3, size, size) and (n, length) to (n, dimension), not normalised.

        Id 0 is padding, and upstream hides it wherever it stands: "!" within a word as well.
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
        """The whole picture, stretched to a square."""
        return squash(image, self.network.architecture.image_size)

    def embed(self, pictures: Sequence[NDArray[Any]] | None, texts: Sequence[str] | None) -> Tensor:
        """Vectors of length 1, float32 (n, dimension).

        A picture alone has the words ""; words alone have a picture of CLIP's mean colour,
        because the model knows no other input than the two.
        """
        like, architecture = self.network.fusion.pooler.query, self.network.architecture
        if pictures is None:
            side = architecture.image_size
            pixels = like.new_zeros(len(texts or ()), 3, side, side)
        else:
            pixels = normalise_pixels(pictures, device=like.device, dtype=like.dtype)
        clean = [html.unescape(html.unescape(text)) for text in texts or [""] * len(pixels)]
        ids, _ = self.words(clean, limit=architecture.text_limit, device=like.device)
        fused = self.network(pixels, ids).float()
        vectors: Tensor = fused / (fused.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        return vectors


def configure(architecture: MagicLensArchitecture) -> CLIPConfig:
    """OpenAI's CLIP in the words of transformers; `eos_token_id` 2 pools at the highest id."""
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
    """The network with the arrays of the released file, on the CPU, in float32.

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
