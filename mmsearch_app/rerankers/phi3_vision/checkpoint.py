"""The files of a Phi-3 Vision: what they say about the model, and its tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch_app.inference import InvalidWeights, MissingWeights

if TYPE_CHECKING:
    import torch

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
"""The keys that `Phi3Config` takes as they are. The attention window is left out: it spans the
whole context."""
SPLICE = {
    "hd_transform_order": "sub_glb",
    "projection_cls": "mlp",
    "use_hd_transform": True,
    "with_learnable_separator": True,
}
"""How the released model puts images among the words; its code knows other ways too."""
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
"""The vision tower of the release, whose configuration only names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phi3Architecture:
    """The sizes of a model."""

    language: Mapping[str, Any]
    """What `Phi3Config` takes."""
    vision: Mapping[str, Any]
    """What `CLIPVisionConfig` takes."""


def find_shards(folder: Path) -> list[Path]:
    """The weight files of a folder, one or more. Raises MissingWeights."""
    names = {"model.safetensors"}
    index = folder / "model.safetensors.index.json"
    if index.is_file():  # its names may begin with a folder, but the files lie beside it
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = {Path(name).name for name in named}
    if missing := sorted(name for name in names if not (folder / name).is_file()):
        msg = f"{folder} contains no {', '.join(missing)}."
        raise MissingWeights(msg)
    return sorted(folder / name for name in names)


def read_architecture(folder: Path) -> Phi3Architecture:
    """Read `config.json`. Raises MissingWeights, or InvalidWeights for another model."""
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
    """The position settings in the form of transformers 5."""
    factors = {key: config["rope_scaling"][key] for key in ("short_factor", "long_factor")}
    return factors | {
        "rope_type": "longrope",
        "rope_theta": config["rope_theta"],
        "factor": config["max_position_embeddings"] / config["original_max_position_embeddings"],
    }


def read_layout(shards: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """Return every key with its shape, without reading a tensor. Raises InvalidWeights."""
    from safetensors import SafetensorError, safe_open

    layout: dict[str, tuple[int, ...]] = {}
    for shard in shards:
        try:
            with safe_open(shard, framework="pt") as file:
                keys: list[str] = file.keys()
                layout |= {
                    key: tuple(file.get_slice(key).get_shape())
                    for key in keys
                    if not key.endswith(".position_ids")  # of older versions of transformers
                }
        except SafetensorError as error:
            msg = f"{shard} is not a safetensors file: {error}"
            raise InvalidWeights(msg) from error
    return layout


def read_tensors(
    shards: Sequence[Path], names: Mapping[str, str], *, device: torch.device, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Read the tensors whose keys are in `names`, under their new names.

    One after the other, straight to the device. On the CPU, tensors that already have the dtype
    stay memory-mapped: processes share them, and pages are read when they are first used.
    """
    from safetensors import safe_open

    tensors = {}
    for shard in shards:
        with safe_open(shard, framework="pt", device=str(device)) as file:
            for key in sorted(names.keys() & set(file.keys())):
                tensors[names[key]] = file.get_tensor(key).to(dtype)
    return tensors
