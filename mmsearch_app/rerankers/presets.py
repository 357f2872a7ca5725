"""What is known of models that are worth asking: a few lines of data each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmsearch_app.rerankers.prompts.collage import (
    GEMMA,
    GENERIC,
    IDEFICS,
    PHI3_VISION,
    SMOL,
    Layout,
)

__all__ = ["VLM_PRESETS", "VLMPreset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VLMPreset:
    """How to load and to ask one model; a setting may replace any of it."""

    repository: str
    """On the Hugging Face hub; also the usual name of the model on a chat server."""
    layout: Layout
    mode: str = "grades"
    max_images: int = 1
    """Pictures of a prompt. Where it is 1, candidates are shown in a collage."""
    max_pixels: int | None = None
    """Of one picture, for a chat server; None: no limit is known."""
    processing: Mapping[str, Any] = field(default_factory=dict)
    """Options of the model's processor."""


VLM_PRESETS: Mapping[str, VLMPreset] = {
    "phi3-vision": VLMPreset(
        repository="microsoft/Phi-3-vision-128k-instruct",
        layout=PHI3_VISION,
        max_pixels=1344 * 1344,
    ),
    "qwen3-vl": VLMPreset(
        repository="Qwen/Qwen3-VL-2B-Instruct", layout=GENERIC, max_pixels=1280 * 1280
    ),
    "qwen3-vl-reranker": VLMPreset(
        repository="Qwen/Qwen3-VL-Reranker-2B",
        layout=GENERIC,
        mode="trained-pairs",
        max_images=2,
        max_pixels=1800 * 32 * 32,
    ),
    "smolvlm2": VLMPreset(repository="HuggingFaceTB/SmolVLM2-2.2B-Instruct", layout=SMOL),
    "idefics3": VLMPreset(
        repository="HuggingFaceM4/Idefics3-8B-Llama3",
        layout=IDEFICS,
        processing={"size": {"longest_edge": 4 * 364}},
    ),
    "gemma3": VLMPreset(repository="google/gemma-3-4b-it", layout=GEMMA, max_pixels=896 * 896),
}
"""By the name that a setting has for it."""
