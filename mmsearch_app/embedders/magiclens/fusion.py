"""Two features in, one vector out: the layers on top of CLIP. Imports torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

__all__ = ["Fusion"]

_EPS = 1e-6
LOGIT_CAP = 50.0
INVERSE_SOFTPLUS_0 = 1.442695041
"""1 / softplus(0): a scale of zeros leaves the query at 1 / sqrt(d)."""


class Fusion(nn.Module):
    """Self-attention over (picture, words), then one learned query that pools them.

    Takes (n, 2, dimension) and returns (n, dimension), not normalised.
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
    """Attention of one learned query with heads four times as wide, scaled by dimension."""

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
    """Attention whose logits are `50 tanh(x / 50)`; the query comes projected and scaled."""

    def __init__(self, dimension: int, heads: int, *, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.query = nn.Linear(dimension, heads * head_width)
        self.key = nn.Linear(dimension, heads * head_width)
        self.value = nn.Linear(dimension, heads * head_width)
        self.out = nn.Linear(heads * head_width, dimension)

    def project_query(self, tokens: Tensor) -> Tensor:
        """(n, length, dimension) to (n, heads, length, head width)."""
        return self._split(self.query(tokens))

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        logits = query @ self._split(self.key(tokens)).transpose(2, 3)
        shares = (LOGIT_CAP * torch.tanh(logits / LOGIT_CAP)).softmax(dim=-1)
        mixed = shares @ self._split(self.value(tokens))
        projected: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return projected

    def _split(self, projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], -1, self.head_width).transpose(1, 2)
