"""The image tower: EVA02-CLIP (arXiv 2303.11331) up to its last block. Imports torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention, silu

from mmsearch_app.embedders.visualized_bge.architecture import BGEArchitecture

_EPS = 1e-6


class VisionTower(nn.Module):
    """Maps pixels (n, 3, size, size) to patch tokens (n, patches, width), not normed or projected.

    Submodules have the names of the released file, so that its keys fit. The tables of rotary
    positions (`rope`, grid² × head width) are the file's: they are rounded in a file of float16,
    and the model's authors compute with the rounded ones.
    """

    def __init__(self, architecture: BGEArchitecture) -> None:
        super().__init__()
        width = architecture.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + architecture.patches, width))
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(3, width, architecture.patch, stride=architecture.patch)}
        )
        self.blocks = nn.ModuleList(VisionBlock(architecture) for _ in range(architecture.layers))
        self.rope = nn.Module()
        for wave in ("freqs_cos", "freqs_sin"):
            table = torch.zeros(architecture.patches, architecture.head_width)
            self.rope.register_buffer(wave, table)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        first = self.cls_token.expand(len(patches), -1, -1)
        tokens = torch.cat([first, patches], dim=1) + self.pos_embed
        cos, sin = self.rope.freqs_cos, self.rope.freqs_sin
        for block in self.blocks:
            tokens = block(tokens, cos, sin)
        return tokens[:, 1:]


class VisionBlock(nn.Module):
    """Attention, then a gated feed-forward layer, each normed before and added."""

    def __init__(self, architecture: BGEArchitecture) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(architecture.width, eps=_EPS)
        self.attn = Attention(architecture)
        self.norm2 = nn.LayerNorm(architecture.width, eps=_EPS)
        self.mlp = SwiGLU(architecture)

    def forward(self, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens), cos, sin)
        fed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return fed


class Attention(nn.Module):
    """Self-attention with rotary patch positions and a norm before the output's projection."""

    def __init__(self, architecture: BGEArchitecture) -> None:
        super().__init__()
        width = architecture.width
        self.head_width = architecture.head_width
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.inner_attn_ln = nn.LayerNorm(width, eps=_EPS)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        query = self._split(linear(tokens, self.q_proj.weight, self.q_bias))
        key = self._split(self.k_proj(tokens))
        value = self._split(linear(tokens, self.v_proj.weight, self.v_bias))
        mixed = scaled_dot_product_attention(rotate(query, cos, sin), rotate(key, cos, sin), value)
        joined = mixed.transpose(1, 2).flatten(2)
        projected: Tensor = self.proj(self.inner_attn_ln(joined))
        return projected

    def _split(self, tokens: Tensor) -> Tensor:
        """(n, length, width) to (n, heads, length, head width)."""
        return tokens.view(*tokens.shape[:2], -1, self.head_width).transpose(1, 2)


class SwiGLU(nn.Module):
    """`w3(norm(silu(w1 x) * w2 x))`."""

    def __init__(self, architecture: BGEArchitecture) -> None:
        super().__init__()
        self.w1 = nn.Linear(architecture.width, architecture.hidden)
        self.w2 = nn.Linear(architecture.width, architecture.hidden)
        self.ffn_ln = nn.LayerNorm(architecture.hidden, eps=_EPS)
        self.w3 = nn.Linear(architecture.hidden, architecture.width)

    def forward(self, tokens: Tensor) -> Tensor:
        fed: Tensor = self.w3(self.ffn_ln(silu(self.w1(tokens)) * self.w2(tokens)))
        return fed


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair of neighbouring channels, except of the first token, which has no place."""
    first, patches = heads[:, :, :1], heads[:, :, 1:]
    turned = torch.stack([-patches[..., 1::2], patches[..., ::2]], dim=-1).flatten(-2)
    return torch.cat([first, patches * cos + turned * sin], dim=2)
