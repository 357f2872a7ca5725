"""What a release says of its model, and the tensors in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch_app.inference import InvalidWeights, MissingWeights

if TYPE_CHECKING:
    import torch

__all__ = ["Phi3Architecture", "read_architecture", "read_layout", "read_tensors"]

LANGUAGE = (
    "bos_token_id",
    "eos_token_id",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "pad_token_id",
    "rms_norm_eps",
    "vocab_size",
)
"""What `Phi3Config` takes from the file as it is. A window is left out: it spans the context."""
SPLICE = {
    "hd_transform_order": "sub_glb",
    "projection_cls": "mlp",
    "use_hd_transform": True,
    "with_learnable_separator": True,
}
"""The one way of several that the released model puts pictures in."""
CLIP_LARGE_336 = {
    "hidden_act": "quick_gelu",
    "hidden_size": 1024,
    "image_size": 336,
    "intermediate_size": 4096,
    "layer_norm_eps": 1e-5,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
}
"""The tower of the release, whose configuration only names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phi3Architecture:
    """The sizes of a model."""

    language: Mapping[str, Any]
    """What `Phi3Config` takes."""
    vision: Mapping[str, Any]
    """What `CLIPVisionConfig` takes."""


def read_architecture(folder: Path) -> Phi3Architecture:
    """What `config.json` says. Raises MissingWeights, or InvalidWeights for another model."""
    path = folder / "config.json"
    if not path.is_file():
        msg = f"There is no {path}."
        raise MissingWeights(msg)
    config = json.loads(path.read_text(encoding="utf-8"))
    rope = config.get("rope_scaling") or {}
    splice = {key: config.get("embd_layer", {}).get(key) for key in SPLICE}
    long = rope.get("type") in ("su", "longrope")
    if config.get("model_type") != "phi3_v" or not long or splice != SPLICE:
        msg = (
            f"{path} does not describe a Phi-3 Vision: model_type must be 'phi3_v', the type of "
            f"rope_scaling 'su' or 'longrope', and embd_layer must have {SPLICE}."
        )
        raise InvalidWeights(msg)
    vision = config["img_processor"].get("vision_config", CLIP_LARGE_336)
    language = {key: config[key] for key in LANGUAGE if key in config}
    return Phi3Architecture(language=language | {"rope_parameters": _rope(config)}, vision=vision)


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """The positions as transformers 5 has them."""
    factors = {key: config["rope_scaling"][key] for key in ("short_factor", "long_factor")}
    return factors | {
        "rope_type": "longrope",
        "rope_theta": config["rope_theta"],
        "factor": config["max_position_embeddings"] / config["original_max_position_embeddings"],
    }


def read_layout(shards: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """Every key with its shape; no tensor is read. Raises InvalidWeights."""
    from safetensors import SafetensorError, safe_open

    layout: dict[str, tuple[int, ...]] = {}
    for shard in shards:
        try:
            with safe_open(shard, framework="pt") as file:
                keys: list[str] = file.keys()
                layout |= {key: tuple(file.get_slice(key).get_shape()) for key in keys}
        except SafetensorError as error:
            msg = f"{shard} is no file of safetensors: {error}"
            raise InvalidWeights(msg) from error
    return layout


def read_tensors(
    shards: Sequence[Path], names: Mapping[str, str], *, device: torch.device, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """The tensors that `names` has, under the name that it gives them.

    One after the other, straight to the device. On the CPU those that have the dtype stay in the
    file, mapped: processes share them, and pages are read when they are first used.
    """
    from safetensors import safe_open

    tensors = {}
    for shard in shards:
        with safe_open(shard, framework="pt", device=str(device)) as file:
            for key in sorted(names.keys() & set(file.keys())):
                tensors[names[key]] = file.get_tensor(key).to(dtype)
    return tensors
