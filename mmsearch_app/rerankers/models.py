"""The models that are worth asking, and how a setting becomes one of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.module_loading import import_string

from mmsearch_app.inference import require_one_of
from mmsearch_app.rerankers.local import LocalVLM
from mmsearch_app.rerankers.prompts.collage import (
    GEMMA,
    GENERIC,
    IDEFICS,
    PHI3_VISION,
    SMOL,
    Layout,
)
from mmsearch_app.rerankers.vlm import VisionLanguageModel


@dataclass(frozen=True, slots=True, kw_only=True)
class VLMPreset:
    """How to load one model and how to ask it; options replace any of it."""

    repository: str = ""
    """On the Hugging Face hub; also the usual name of the model on a chat server."""
    revision: str = "main"
    """The commit that was tried; "main" where none is known: the fingerprint then names the commit
    that was downloaded."""
    layout: Layout = GENERIC
    mode: str = "grades"
    max_images: int = 1
    """Images in one prompt. If it is 1, candidates are shown in a collage."""
    max_pixels: int | None = None
    """Limit of one image for a chat server; None if no limit is known."""
    processing: Mapping[str, Any] = field(default_factory=dict)
    """Options of the model's processor."""


VLM_PRESETS: Mapping[str, VLMPreset] = {
    "phi3-vision": VLMPreset(
        repository="microsoft/Phi-3-vision-128k-instruct",
        revision="c45209e90a4c4f7d16b2e9d48503c7f3e83623ed",
        layout=PHI3_VISION,
        max_pixels=1344 * 1344,
    ),
    "qwen3-vl": VLMPreset(
        repository="Qwen/Qwen3-VL-2B-Instruct",
        revision="89644892e4d85e24eaac8bacfd4f463576704203",
        max_pixels=1280 * 1280,
    ),
    "qwen3-vl-reranker": VLMPreset(
        repository="Qwen/Qwen3-VL-Reranker-2B",
        revision="4bd860ac4f15ad1897a214615cccc700f8f71818",
        mode="trained-pairs",
        max_images=2,
        max_pixels=1800 * 32 * 32,
    ),
    "smolvlm2": VLMPreset(
        repository="HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        revision="482adb537c021c86670beed01cd58990d01e72e4",
        layout=SMOL,
    ),
    "idefics3": VLMPreset(
        repository="HuggingFaceM4/Idefics3-8B-Llama3",
        revision="fddb4ff79181e55a994674777e06cd5456ce3dc3",
        layout=IDEFICS,
        processing={"size": {"longest_edge": 4 * 364}},
    ),
    "gemma3": VLMPreset(
        repository="google/gemma-3-4b-it",
        revision="093f9f388b31de276ce2de164bdc2081324b9767",
        layout=GEMMA,
        max_pixels=896 * 896,
    ),
}
"""By the name that a setting uses."""


def find_vlm_preset(name: str) -> VLMPreset:
    """The preset of that name; for "" what is assumed of any model.

    Raises ValueError with the known names.
    """
    return look_up("preset", name, VLM_PRESETS) if name else VLMPreset()


def look_up(option: str, name: str, known: Mapping[str, Any]) -> Any:
    """What the name of an option stands for. Raises ValueError with the known names."""
    require_one_of(option, name, sorted(known))
    return known[name]


def build_model(
    model: VisionLanguageModel | Mapping[str, Any] | str | None,
    preset: str,
    options: Mapping[str, Any],
) -> VisionLanguageModel:
    """The model that a setting names or describes; an object is returned as it is.

    `options` belong to a `LocalVLM`. The preset fills in what a backend takes and the setting
    leaves out. Raises ValueError, or TypeError for an option that does not belong.
    """
    if options and model is not None and not isinstance(model, str):
        msg = (
            f"VisionReranker has no option {', '.join(sorted(options))}; options of the model "
            "belong in model['OPTIONS']."
        )
        raise TypeError(msg)
    if isinstance(model, Mapping):
        backend, given = _read(model)
    elif model is None or isinstance(model, str):
        backend, given = LocalVLM, dict(options)
        if model:
            given["model"] = model
    else:
        return model
    built: VisionLanguageModel = backend(**(_defaults(backend, preset, given) | given))
    return built


def _read(model: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The class and its options. Errors name keys, never values, which may be secrets."""
    given = model.get("OPTIONS") or {}
    path = str(model.get("BACKEND"))
    if set(model) - {"OPTIONS"} != {"BACKEND"} or not isinstance(given, Mapping):
        msg = (
            "model must be the name of one, or a dict with BACKEND (a dotted path) and, if "
            f"needed, OPTIONS (a dict), not one with {', '.join(sorted(map(str, model)))}."
        )
        raise ValueError(msg)
    try:
        return import_string(path), dict(given)
    except (ImportError, AttributeError) as error:
        msg = f"model['BACKEND'] = {path!r} cannot be imported: {error}"
        raise ValueError(msg) from error


def _defaults(backend: Any, preset: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the preset says of the options that a backend takes.

    A backend that takes `preset` itself gets the name alone.
    """
    if not preset:
        return {}
    taken = inspect.signature(backend).parameters
    if "preset" in taken:
        return {"preset": preset}
    known = find_vlm_preset(preset)
    defaults: dict[str, Any] = {"processing": known.processing, "max_images": known.max_images}
    if "path" not in given:
        defaults["model"] = known.repository
        if given.get("model", known.repository) == known.repository:
            defaults["revision"] = known.revision
    return {name: value for name, value in defaults.items() if name in taken}
