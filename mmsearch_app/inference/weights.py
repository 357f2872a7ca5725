"""Finding the weights of a model, and refusing those that are not what they should be."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = [
    "InvalidWeights",
    "MissingWeights",
    "Release",
    "check_layout",
    "digest_files",
    "fetch",
    "find_file",
    "find_gap",
    "read_checkpoint",
    "shapes_of",
]

SAMPLES = 64
SAMPLE_BYTES = 4096
_COMMIT = re.compile(r"[0-9a-f]{40}")


class MissingWeights(FileNotFoundError):
    """The weights are not on this machine; the message says how to get them."""


class InvalidWeights(ValueError):
    """The file is not the model's: other keys, other shapes, or content that is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Files of a repository of the Hugging Face hub at one revision."""

    repository: str
    revision: str
    """A commit, or a branch such as "main", which may move: `name` tells where it stood."""
    required: tuple[str, ...]
    """Names of files."""
    optional: tuple[str, ...] = ()
    """Names of files that are fetched as well if they are there."""

    @property
    def commit(self) -> str | None:
        """The commit, of a branch the one that was downloaded; None while none was."""
        if _COMMIT.fullmatch(self.revision):
            return self.revision
        try:
            from huggingface_hub import constants
        except ImportError:
            return None
        folder = f"models--{self.repository.replace('/', '--')}"
        file = Path(constants.HF_HUB_CACHE, folder, "refs", self.revision)
        return file.read_text(encoding="utf-8").strip() if file.is_file() else None

    @property
    def name(self) -> str:
        """Repository and commit, shortened, for a fingerprint; the branch while none is known."""
        return f"{self.repository}@{(self.commit or self.revision)[:12]}"


def fetch(
    release: Release, *, download: bool, complete: Callable[[Path], bool] = lambda _: True
) -> Path:
    """The folder that holds the release's files: the hub's cache, then, if allowed, the hub.

    What is cached is used without asking the hub, provided that the required files are there and
    `complete` says so of the folder. Raises MissingWeights.
    """
    from huggingface_hub import snapshot_download

    reason: Exception | None = None
    for online in (False, True) if download else (False,):
        try:
            found = snapshot_download(
                release.repository,
                revision=release.revision,
                allow_patterns=[*release.required, *release.optional],
                local_files_only=not online,
            )
        except (OSError, ValueError) as error:
            reason = error
            continue
        folder = Path(found)
        if all((folder / name).is_file() for name in release.required) and complete(folder):
            return folder
    msg = (
        f"{release.repository} at revision {release.revision} is not on this machine. "
        "`manage.py mmsearch_check` downloads it, and so does indexing, unless local_files_only "
        "or HF_HUB_OFFLINE forbid it; a search never does. Or name a folder that holds "
        f"{', '.join(release.required) or 'all of its files'}."
    )
    raise MissingWeights(msg) from reason


def find_file(path: Path, name: str) -> Path:
    """`path` itself if it is a file, else the file `name` in that folder.

    Raises MissingWeights, saying what was looked for.
    """
    found = path / name if path.is_dir() else path
    if not found.is_file():
        msg = f"There is no file {found}; `path` must be the weights or a folder with {name}."
        raise MissingWeights(msg)
    return found


def find_gap(folder: Path) -> str:
    """What a model's folder lacks, as of an interrupted download; "" for nothing."""
    if not any((folder / name).is_file() for name in ("config.json", "modules.json")):
        return "config.json or modules.json"
    if not any(next(folder.rglob(pattern), None) for pattern in ("*.safetensors*", "*.bin")):
        return "weights"
    for index in folder.rglob("*.safetensors.index.json"):
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if lacking := sorted(name for name in names if not (index.parent / name).is_file()):
            return ", ".join(lacking)
    return ""


def digest_files(paths: Iterable[Path]) -> str:
    """Twelve hexadecimal digits that tell files apart by size and content, in milliseconds.

    Of a large file only 64 evenly spread blocks are read: another training of a model changes
    all of its weights. Names and folders do not count, so that two machines agree.
    """
    total = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        total.update(size.to_bytes(8, "big"))
        with path.open("rb") as file:
            if size <= SAMPLES * SAMPLE_BYTES:
                total.update(file.read())
                continue
            for sample in range(SAMPLES):
                file.seek(sample * (size - SAMPLE_BYTES) // (SAMPLES - 1), os.SEEK_SET)
                total.update(file.read(SAMPLE_BYTES))
    return total.hexdigest()[:12]


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """The tensors by key of a file of `torch.save`, mapped, on the CPU; code in it is refused.

    Raises InvalidWeights.
    """
    import pickle
    import zipfile

    import torch

    try:
        held = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        msg = f"{path} is no file of weights that can be read safely: {error}"
        raise InvalidWeights(msg) from error
    if not isinstance(held, dict) or not all(isinstance(v, torch.Tensor) for v in held.values()):
        msg = f"{path} holds {type(held).__name__}, not tensors by key."
        raise InvalidWeights(msg)
    return held


def shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The layout of a state dict."""
    return {key: tuple(value.shape) for key, value in state.items()}


def check_layout(
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    *,
    origin: object,
) -> None:
    """Raise InvalidWeights unless the keys and shapes are exactly the expected ones."""
    problems = [f"{key} is missing" for key in sorted(expected.keys() - found.keys())]
    problems += [f"{key} is unknown" for key in sorted(found.keys() - expected.keys())]
    problems += [
        f"{key} has shape {list(found[key])} instead of {list(shape)}"
        for key, shape in sorted(expected.items())
        if key in found and found[key] != shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        msg = f"{origin} are not this model's weights: {'; '.join(problems[:3])}{more}."
        raise InvalidWeights(msg)
