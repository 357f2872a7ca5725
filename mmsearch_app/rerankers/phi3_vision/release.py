"""Where a release lies: a folder, or a repository of the Hugging Face hub."""

from __future__ import annotations

import json
import os
from pathlib import Path

from mmsearch_app.inference import MissingWeights, Release, fetch

__all__ = ["find_shards", "locate", "locate_weights"]

SMALL_FILES = ("config.json", "tokenizer.json")
_WEIGHTS = "model.safetensors"
INDEX = f"{_WEIGHTS}.index.json"


def locate(place: str | os.PathLike[str], *, revision: str, download: bool) -> Path:
    """The folder with all that the processor reads. Raises MissingWeights."""
    if Path(place).is_dir():
        return Path(place)
    return _fetch(place, revision=revision, download=download)


def locate_weights(place: str | os.PathLike[str], *, revision: str, download: bool) -> Path:
    """The folder with the weights too, in one file or several. Raises MissingWeights."""
    if Path(place).is_dir():
        return Path(place)
    try:
        indexed = _fetch(place, INDEX, revision=revision, download=download)
        names = _listed(indexed / INDEX)
    except MissingWeights:
        names = [_WEIGHTS]
    return _fetch(place, *names, revision=revision, download=download)


def find_shards(folder: Path) -> list[Path]:
    """The files of the weights in a folder. Raises MissingWeights."""
    index = folder / INDEX
    shards = [folder / name for name in (_listed(index) if index.is_file() else [_WEIGHTS])]
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        msg = f"{folder} holds no {', '.join(missing)}."
        raise MissingWeights(msg)
    return shards


def _listed(index: Path) -> list[str]:
    """Names of files beside the index, whatever folder it writes before them."""
    files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return sorted(Path(name).name for name in files)


def _fetch(place: str | os.PathLike[str], *more: str, revision: str, download: bool) -> Path:
    release = Release(
        repository=str(place),
        revision=revision,
        required=(*SMALL_FILES, *more),
        optional=("preprocessor_config.json",),
    )
    return fetch(release, download=download)
