"""Rotary positions of a long context (LongRoPE, arXiv 2402.13753). Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["LongRope"]


class LongRope(nn.Module):
    """Each row has the long factors if it is longer than the original context, else the short.

    In place of the class of transformers, which writes the factors of the longest row of the
    call at hand into the shared model: two threads with a short and a long prompt get each
    other's, and a row's answer depends on its neighbours.
    """

    def __init__(self, language: Mapping[str, Any]) -> None:
        super().__init__()
        rope = language["rope_parameters"]
        self.original_length: int = language["original_max_position_embeddings"]
        growth = max(rope["factor"], 1.0)
        self.scale = sqrt(1 + log(growth) / log(self.original_length))
        self.short = _frequencies(rope["short_factor"], rope["rope_theta"])
        self.long = _frequencies(rope["long_factor"], rope["rope_theta"])

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, (rows, length, head width), in the dtype of `x`.

        `position_ids` is (rows, length); its largest tells a row's length.
        """
        long = position_ids.amax(-1, keepdim=True) >= self.original_length
        frequencies = torch.where(long, self.long, self.short)
        angles = position_ids[:, :, None].float() * frequencies[:, None]
        both = torch.cat([angles, angles], dim=-1)
        return (both.cos() * self.scale).to(x.dtype), (both.sin() * self.scale).to(x.dtype)


def _frequencies(factors: Sequence[float], theta: float) -> nn.Buffer:
    """On the CPU even where the model is built without memory: no file holds them."""
    places = torch.arange(len(factors), device="cpu").float() / len(factors)
    scaled = torch.tensor(factors, device="cpu") * theta**places
    return nn.Buffer(1.0 / scaled, persistent=False)
