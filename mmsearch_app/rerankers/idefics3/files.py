"""The files of a vision-language model that was exported for ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsearch_app.inference import InvalidWeights, MissingWeights

PARTS = ("vision_encoder", "embed_tokens", "decoder_model_merged")
"""The three networks, by the names of their files."""
FAMILIES = ("idefics3", "smolvlm")
"""What `model_type` may be: only their processing is known here."""
FOLDER = "onnx"
"""Where a repository of the hub has the networks."""
LARGEST_WITHOUT_WEIGHTS = 32 << 20
"""Bytes of a network that may have its weights in files beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idefics3Settings:
    """What the configuration files of a model say, as far as it is needed."""

    text: Mapping[str, Any]
    """`text_config`: the language model."""
    image_token: int
    """The id that stands for one token of an image."""
    tokens_per_tile: int
    limit: int | None
    """Tokens of a prompt with its reply; None if the files do not say."""
    pictures: Mapping[str, Any]
    """Options of the image processor."""
    stops: tuple[int, ...]
    """The ids that end a reply, by the generation configuration."""
    named: Mapping[str, str]
    """Special tokens by their role: `bos_token`, `eos_token`, …"""
    template: str
    """The chat template, in Jinja's language."""


def name_files(variant: str | Mapping[str, str]) -> dict[str, str]:
    """Return the file name of each part; `variant` is one suffix for all, or one by part."""
    each = dict.fromkeys(PARTS, variant) if isinstance(variant, str) else variant
    return {part: f"{part}{suffix and '_' + suffix}.onnx" for part, suffix in each.items()}


def find_graphs(folder: Path, names: Mapping[str, str]) -> dict[str, Path]:
    """Return the file of each part, in the folder or in its `onnx`. Raises MissingWeights."""
    found: dict[str, Path] = {}
    for part, name in names.items():
        places = [place / name for place in (folder / FOLDER, folder)]
        if path := next((path for path in places if path.is_file()), None):
            found[part] = path
    if missing := [name for part, name in names.items() if part not in found]:
        others = sorted({path.name for path in folder.rglob("*.onnx")})
        there = f"it contains {', '.join(others)}" if others else "it contains no .onnx file at all"
        msg = f"{folder} lacks {', '.join(missing)}; {there}. `variant` is the suffix of a file."
        raise MissingWeights(msg)
    if gap := [name for path in found.values() for name in find_data_gap(path)]:
        msg = f"{folder} lacks {', '.join(gap)}, the weights of a network that are not in its file."
        raise MissingWeights(msg)
    return found


def find_data_gap(graph: Path) -> list[str]:
    """Return the files that this one names for its weights and that are not beside it."""
    if graph.stat().st_size > LARGEST_WITHOUT_WEIGHTS:
        return []
    content = graph.read_bytes()
    names = [f"{graph.name}{ending}" for ending in ("_data", ".data")]
    return [
        name for name in names if name.encode() in content and not (graph.parent / name).is_file()
    ]


def list_files(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return all files on which a reply depends: networks, their data, and configuration."""
    patterns = [f"{place}{name}*" for name in names for place in (f"{FOLDER}/", "")]
    return sorted({path for p in (*patterns, "*.json", "*.jinja") for path in folder.glob(p)})


def read_settings(folder: Path) -> Idefics3Settings:
    """Read a folder's configuration. Raises MissingWeights, or InvalidWeights for another model."""
    config = _read_config(folder)
    processor = _read(folder, "processor_config.json")
    tokenizer = _read(folder, "tokenizer_config.json")
    text, vision = config["text_config"], config["vision_config"]
    pictures = _read(folder, "preprocessor_config.json") or processor.get("image_processor")
    if not pictures:
        msg = f"{folder} lacks preprocessor_config.json: how it wants to see images is unknown."
        raise MissingWeights(msg)
    squares = (vision["image_size"] // vision["patch_size"]) // config.get("scale_factor", 2)
    return Idefics3Settings(
        text=text,
        image_token=config["image_token_id"],
        tokens_per_tile=processor.get("image_seq_len") or squares**2,
        limit=text.get("max_position_embeddings"),
        pictures=pictures,
        stops=_read_stops(_read(folder, "generation_config.json"), config),
        named=_read_named(tokenizer | _read(folder, "special_tokens_map.json")),
        template=_read_template(folder, processor, tokenizer),
    )


def _read(folder: Path, name: str) -> dict[str, Any]:
    """The content of a JSON file; empty if there is none. Raises InvalidWeights."""
    path = folder / name
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"{path} is not JSON: {error}"
        raise InvalidWeights(msg) from error
    if not isinstance(found, dict):
        msg = f"{path} must contain an object."
        raise InvalidWeights(msg)
    return found


def _read_config(folder: Path) -> dict[str, Any]:
    config = _read(folder, "config.json")
    if not config:
        msg = f"There is no model in {folder}: it has no config.json."
        raise MissingWeights(msg)
    family = config.get("model_type")
    needed = ("text_config", "vision_config", "image_token_id")
    if family not in FAMILIES or not all(key in config for key in needed):
        msg = (
            f"{folder / 'config.json'} describes {family!r}. OnnxVLM runs vision-language models "
            f"whose model_type is {' or '.join(FAMILIES)}, with {', '.join(needed)}."
        )
        raise InvalidWeights(msg)
    return config


def _read_stops(generation: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[int, ...]:
    source = generation if "eos_token_id" in generation else config["text_config"]
    stops = source.get("eos_token_id")
    listed = stops if isinstance(stops, list) else [stops]
    return tuple(int(stop) for stop in listed if stop is not None)


def _read_named(found: Mapping[str, Any]) -> dict[str, str]:
    named = {}
    for role, token in found.items():
        content = token.get("content") if isinstance(token, dict) else token
        if role.endswith("_token") and isinstance(content, str):
            named[role] = content
    return named


def _read_template(folder: Path, *configs: Mapping[str, Any]) -> str:
    """The chat template, from where transformers of any age writes it. Raises MissingWeights."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    for config in (_read(folder, "chat_template.json"), *configs):
        template = config.get("chat_template")
        if isinstance(template, list):  # several by name
            template = {item["name"]: item["template"] for item in template}.get("default")
        if isinstance(template, str):
            return template
    msg = f"{folder} has no chat template: take a model that was trained with one."
    raise MissingWeights(msg)
