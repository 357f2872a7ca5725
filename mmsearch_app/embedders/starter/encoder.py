"""MiniLM-L6 in the shape of its published weights: a BERT encoder of six layers.

Devlin et al., "BERT" (NAACL 2019); Wang et al., "MiniLM" (NeurIPS 2020). Written out because
importing a model library takes longer than everything else at start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["MiniLM"]

WIDTH, INNER, LAYERS, HEADS = 384, 1536, 6, 12
VOCABULARY, POSITIONS, EPSILON = 30522, 512, 1e-12
UNUSED = ("pooler.", "embeddings.position_ids")
NAMES = (
    ("embeddings.word_embeddings", "words"),
    ("embeddings.position_embeddings", "positions"),
    ("embeddings.token_type_embeddings", "types"),
    ("embeddings.LayerNorm", "norm"),
    ("encoder.layer", "layers"),
    ("attention.self.", ""),
    ("attention.output.dense", "attended"),
    ("attention.output.LayerNorm", "attended_norm"),
    ("intermediate.dense", "widen"),
    ("output.dense", "narrow"),
    ("output.LayerNorm", "narrow_norm"),
)


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each with a normalised residual."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.attended = (nn.Linear(WIDTH, WIDTH) for _ in "qkvo")
        self.attended_norm = nn.LayerNorm(WIDTH, EPSILON)
        self.widen, self.narrow = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.narrow_norm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        """Map (n, tokens, 384) to the same; `allowed` (n, 1, 1, tokens) is true for real ones."""
        q, k, v = (
            f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for f in (self.query, self.key, self.value)
        )
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        x = self.attended_norm(x + self.attended(y.transpose(1, 2).flatten(2)))
        out: Tensor = self.narrow_norm(x + self.narrow(functional.gelu(self.widen(x))))
        return out


class MiniLM(nn.Module):
    """The encoder up to the mean of its last states."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.types = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, EPSILON)
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(LAYERS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embed token ids (n, tokens), 1 in `mask` where they are real; (n, 384), length 1."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.positions(places) + self.types.weight[0])
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :].bool())
        shown = mask.unsqueeze(-1).to(x.dtype)
        return functional.normalize((x * shown).sum(1) / shown.sum(1))

    def load(self, published: Mapping[str, Tensor]) -> None:
        """Take the published weights, every key matched; raises RuntimeError otherwise."""
        kept = {k: v for k, v in published.items() if not k.startswith(UNUSED)}
        ours = {_ours(key): value for key, value in kept.items()}
        self.load_state_dict(ours, strict=True, assign=True)


def _ours(key: str) -> str:
    for theirs, ours in NAMES:
        key = key.replace(theirs, ours)
    return key
