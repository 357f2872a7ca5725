"""The two networks, with the layers of their published weights. Imports torch.

EfficientNet-Lite0: Tan and Le, "EfficientNet" (ICML 2019), without squeeze-and-excitation and with
ReLU6, like the Lite variants of TensorFlow's `tpu/models/official/efficientnet/lite`.

MiniLM-L6: Devlin et al., "BERT" (NAACL 2019); Wang et al., "MiniLM" (NeurIPS 2020). Written out,
because importing a model library takes longer than everything else at start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

# repeats, kernel, stride, expansion, output channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TEXTURE = 10  # the block whose features tell patterns apart best, on any object

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


class SameConv(nn.Conv2d):
    """A convolution padded like TensorFlow's SAME: the odd pixel goes right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1):
        before, odd = divmod(kernel - stride, 2)
        super().__init__(
            inputs, outputs, kernel, stride=stride, padding=before, groups=groups, bias=False
        )
        self.margin = before
        self.odd = bool(odd)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (n, c, h, w) whose sides are multiples of the stride."""
        if self.odd:
            before, after = self.margin, self.margin + 1
            padded = functional.pad(x, (before, after, before, after))
            return functional.conv2d(
                padded, self.weight, self.bias, self.stride, groups=self.groups
            )
        return super().forward(x)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedResidual(nn.Module):
    """An inverted residual block (Sandler et al., CVPR 2018)."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        if expansion != 1:
            self.expand_conv = SameConv(inputs, wide, 1)
            self.bn0 = batch_norm(wide)
        self.depthwise_conv = SameConv(wide, wide, kernel, stride=stride, groups=wide)
        self.bn1 = batch_norm(wide)
        self.project_conv = SameConv(wide, outputs, 1)
        self.bn2 = batch_norm(outputs)
        self.expands = expansion != 1
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y = functional.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
        y = functional.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.skips else y  # type: ignore[no-any-return]


class EfficientNetLite0(nn.Module):
    """4.7 million parameters; input (n, 3, 224, 224) of `(x − 127) / 128`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SameConv(3, 32, 3, stride=2)
        self.bn0 = batch_norm(32)
        self.blocks = nn.ModuleList()
        inputs = 32
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for index in range(repeats):
                step = stride if index == 0 else 1
                self.blocks.append(
                    InvertedResidual(
                        inputs, outputs, kernel=kernel, stride=step, expansion=expansion
                    )
                )
                inputs = outputs
        self.conv_head = SameConv(inputs, 1280, 1)
        self.bn1 = batch_norm(1280)
        self.fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (n, 1000), shape features (n, 320, 7, 7) and texture ones (n, 112, 14, 14).

        Both feature maps are outputs of linear bottlenecks: signed, with a small common mean.
        """
        x = functional.relu6(self.bn0(self.conv_stem(x)))
        texture = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            texture = x if index == TEXTURE else texture
        features = functional.relu6(self.bn1(self.conv_head(x)))
        return self.fc(features.mean((2, 3))), x, texture

    def load(self, published: Mapping[str, Tensor]) -> None:
        """Load the published weights. Raises RuntimeError unless all keys match."""
        names = {".".join(p.removeprefix("_") for p in k.split(".")): k for k in published}
        ours = {name: published[key] for name, key in names.items()}
        self.load_state_dict(ours, strict=True, assign=True)

    def fuse(self) -> None:
        """Fold each normalisation into the convolution before it: the same function, but faster."""
        pairs: list[tuple[nn.Module, str, str]] = [
            (self, "conv_stem", "bn0"),
            (self, "conv_head", "bn1"),
        ]
        for block in self.blocks:
            if block.expands:
                pairs.append((block, "expand_conv", "bn0"))
            pairs += [(block, "depthwise_conv", "bn1"), (block, "project_conv", "bn2")]
        for module, convolution, norm in pairs:
            fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
            setattr(module, convolution, fused)
            setattr(module, norm, nn.Identity())


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
        """Load the published weights. Raises RuntimeError unless all keys match."""
        kept = {k: v for k, v in published.items() if not k.startswith(UNUSED)}
        ours = {_ours(key): value for key, value in kept.items()}
        self.load_state_dict(ours, strict=True, assign=True)


def _ours(key: str) -> str:
    for theirs, ours in NAMES:
        key = key.replace(theirs, ours)
    return key
