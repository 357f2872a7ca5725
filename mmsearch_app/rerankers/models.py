"""From what a setting says of a model to the model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from django.utils.module_loading import import_string

from mmsearch_app.inference import require_one_of
from mmsearch_app.rerankers.local import LocalVLM
from mmsearch_app.rerankers.presets import VLM_PRESETS
from mmsearch_app.rerankers.vlm import VisionLanguageModel

__all__ = ["look_up", "reach"]


def reach(
    model: VisionLanguageModel | Mapping[str, Any] | str | None,
    preset: str,
    options: Mapping[str, Any],
) -> VisionLanguageModel:
    """The model that is named, described or there already; `options` are of one in this process.

    What the preset knows fills in what a backend takes and is not told. Raises ValueError,
    TypeError for an option that does not belong.
    """
    if options and model is not None and not isinstance(model, str):
        msg = f"{', '.join(sorted(options))}: such options belong to the model, not beside it."
        raise TypeError(msg)
    if isinstance(model, Mapping):
        backend, given = _read(model)
    elif model is None or isinstance(model, str):
        backend, given = LocalVLM, dict(options) | ({"model": model} if model else {})
    else:
        return model
    reached: VisionLanguageModel = backend(**(_usual(backend, preset, given) | given))
    return reached


def look_up(option: str, name: str, known: Mapping[str, Any]) -> Any:
    """What the name stands for. Raises ValueError with the right names."""
    require_one_of(option, name, sorted(known))
    return known[name]


def _read(model: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The class and its options. Errors name keys, never values: there may be secrets in them."""
    given = model.get("OPTIONS") or {}
    path = str(model.get("BACKEND"))
    if set(model) - {"OPTIONS"} != {"BACKEND"} or not isinstance(given, Mapping):
        msg = (
            "model must be the name of one, or a dict with BACKEND (a dotted path) and, where "
            f"needed, OPTIONS (a dict), not one with {', '.join(sorted(map(str, model)))}."
        )
        raise ValueError(msg)
    try:
        return import_string(path), dict(given)
    except (ImportError, AttributeError) as error:
        msg = f"model['BACKEND'] = {path!r} cannot be imported: {error}"
        raise ValueError(msg) from error


def _usual(backend: Any, preset: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the preset what the backend takes: its name, or else what it stands for."""
    known = VLM_PRESETS.get(preset)
    taken = inspect.signature(backend).parameters
    if known is None or "preset" in taken:
        return {"preset": preset} if preset and known else {}
    usual: dict[str, Any] = {"processing": known.processing, "max_images": known.max_images}
    if "path" not in given:
        usual["model"] = known.repository
    return {name: value for name, value in usual.items() if name in taken}
