"""The sizes of the released models."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MagicLensArchitecture:
    """Sizes of OpenAI's CLIP and of the layers that fuse its two features."""

    dimension: int
    """Length of CLIP's features, of the fusion's states and of the vectors."""
    text_width: int
    text_heads: int
    text_layers: int
    vision_width: int
    vision_heads: int
    vision_layers: int
    patch: int
    fusion_heads: int
    fusion_layers: int = 4
    image_size: int = 224
    vocabulary: int = 49408
    text_limit: int = 77


MAGICLENS_ARCHITECTURES = {
    "base": MagicLensArchitecture(
        dimension=512,
        text_width=512,
        text_heads=8,
        text_layers=12,
        vision_width=768,
        vision_heads=12,
        vision_layers=12,
        patch=16,
        fusion_heads=8,
    ),
    "large": MagicLensArchitecture(
        dimension=768,
        text_width=768,
        text_heads=12,
        text_layers=12,
        vision_width=1024,
        vision_heads=16,
        vision_layers=24,
        patch=14,
        fusion_heads=16,
    ),
}
