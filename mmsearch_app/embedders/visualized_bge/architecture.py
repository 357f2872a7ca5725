"""The sizes of the released models, and the layout of their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class BGEArchitecture:
    """Sizes of an EVA02-CLIP image tower and the text encoder of the same width behind it."""

    text: Mapping[str, Any]
    """Configuration of the text encoder: `model_type` "bert" or "xlm-roberta", and its sizes."""
    width: int
    """Width of both parts, and the dimension of the vectors."""
    layers: int
    """Layers of the tower."""
    patch: int
    image_size: int = 224
    head_width: int = 64
    clip_dimension: int
    """Dimension of the tower's CLIP head, which is in the file but never applied."""

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch

    @property
    def patches(self) -> int:
        """Tokens of an image."""
        return self.grid**2

    @property
    def hidden(self) -> int:
        """Width of the tower's feed-forward layers."""
        return int(self.width * 2.6667)

    @property
    def first_position(self) -> int:
        """Position of the first token of a text alone; XLM-R counts from after its padding id."""
        return self.text["pad_token_id"] + 1 if self.text["model_type"] == "xlm-roberta" else 0

    @property
    def text_limit(self) -> int:
        """Most tokens of a text alone."""
        return int(self.text["max_position_embeddings"]) - self.first_position

    @property
    def composed_limit(self) -> int:
        """Most tokens of a text beside an image; positions then count from 0 in both encoders."""
        return int(self.text["max_position_embeddings"]) - self.patches


BGE_ARCHITECTURES = {
    "base": BGEArchitecture(
        text={
            "model_type": "bert",
            "vocab_size": 30522,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
            "pad_token_id": 0,
            "layer_norm_eps": 1e-12,
        },
        width=768,
        layers=12,
        patch=16,
        clip_dimension=512,
    ),
    "m3": BGEArchitecture(
        text={
            "model_type": "xlm-roberta",
            "vocab_size": 250002,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "max_position_embeddings": 8194,
            "type_vocab_size": 1,
            "pad_token_id": 1,
            "layer_norm_eps": 1e-5,
        },
        width=1024,
        layers=24,
        patch=14,
        clip_dimension=768,
    ),
}

RENAMED = {"text.": "bge_", "vision.": "model_visual.visual.", "projection.": "visual_proj."}


def name_released(key: str) -> str:
    """Return the released file's name of a key of `VisualizedNetwork`."""
    for ours, theirs in RENAMED.items():
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key


def unused_layout(architecture: BGEArchitecture) -> dict[str, tuple[int, ...]]:
    """Return what the released file contains beyond the network: unused heads, and copies.

    Each block has a copy of the tower's tables of rotary positions.
    """
    width, head = architecture.width, architecture.clip_dimension
    table = (architecture.patches, architecture.head_width)
    blocks = [f"blocks.{layer}.attn." for layer in range(architecture.layers)]
    tables = [f"{place}rope.freqs_{wave}" for place in blocks for wave in ("cos", "sin")]
    return {
        "bge_pooler.dense.weight": (width, width),
        "bge_pooler.dense.bias": (width,),
        "model_visual.logit_scale": (),
        "model_visual.visual.norm.weight": (width,),
        "model_visual.visual.norm.bias": (width,),
        "model_visual.visual.head.weight": (head, width),
        "model_visual.visual.head.bias": (head,),
    } | {f"model_visual.visual.{name}": table for name in tables}
