"""Finding the weights of a model, and refusing files that are not what they should be."""

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

SAMPLES = 64
SAMPLE_BYTES = 4096
PREFIXES = ("module.", "model.", "_orig_mod.", "_fsdp_wrapped_module.")
"""What training in parallel and compiling put before the keys of tensors."""
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "weights", "params", "ema")
"""Keys under which trainings save the tensors."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


class MissingWeights(FileNotFoundError):
    """The weights are not on this machine. The message says how to get them."""


class InvalidWeights(ValueError):
    """The file does not contain the model: other keys, other shapes, or unsafe content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Files of a Hugging Face hub repository at one revision."""

    repository: str
    revision: str
    """A commit, or a branch such as "main", which may move; `commit` says where it stood."""
    required: tuple[str, ...]
    """File names."""
    optional: tuple[str, ...] = ()
    """File names or patterns, fetched too if the repository has them."""

    @property
    def commit(self) -> str | None:
        """The commit; for a branch, the one that was downloaded, or None if none was."""
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
        """Repository and short commit for a fingerprint; the branch if no commit is known."""
        return f"{self.repository}@{(self.commit or self.revision)[:12]}"


def fetch(
    release: Release, *, download: bool, complete: Callable[[Path], bool] = lambda _: True
) -> Path:
    """Return the folder with the release's files: from the hub's cache, else, if allowed, the hub.

    The hub is not asked if the cache has all required files and `complete(folder)` is true.
    Raises MissingWeights.
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
        "`manage.py mmsearch_check` and indexing download it, unless local_files_only or "
        "HF_HUB_OFFLINE forbid that; a search never does. Or give `path`, a folder with "
        f"{', '.join(release.required) or 'all of its files'}."
    )
    raise MissingWeights(msg) from reason


def find_folder(path: Path) -> Path:
    """Return `path` if it is a folder, or the folder of the file of weights that it is."""
    return path.parent if path.is_file() else path


def find_file(path: Path, name: str) -> Path:
    """Return `path` if it is a file, else the file `name` in that folder. Raises MissingWeights."""
    found = path / name if path.is_dir() else path
    if not found.is_file():
        msg = f"There is no file {found}; `path` must be that file or a folder with {name}."
        raise MissingWeights(msg)
    return found


def find_gap(folder: Path) -> str:
    """Return what a model's folder lacks, as after an interrupted download; "" if nothing."""
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
    """Return twelve hexadecimal digits that identify the files by size and content.

    Takes milliseconds: of a large file only 64 evenly spread blocks are read, which suffices
    because training a model changes all of its weights. Names and folders do not count, so that
    two machines agree.
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
    """Return the tensors by key of a file of safetensors or `torch.save`, on the CPU.

    The file is memory-mapped if it can be. What training adds is taken off (`tidy_state`). Raises
    InvalidWeights, also if the file contains code, which is never run.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    import pickle
    import zipfile

    import torch

    try:
        loaded = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        msg = f"{path} is no file of weights that can be read safely: {error}"
        raise InvalidWeights(msg) from error
    state = _unwrap(loaded)
    tensors = state.values() if isinstance(state, Mapping) else [None]
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        msg = f"{path} contains {type(loaded).__name__}, not tensors by key."
        raise InvalidWeights(msg)
    return tidy_state(state)


def tidy_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors without what tools add to their keys, and without position ids.

    These are a prefix of all keys ("module.", "model.", "_orig_mod."), and the numbers of
    positions (`position_ids`), which older versions of transformers saved.
    """
    kept = {key: value for key, value in state.items() if not _is_position_ids(key)}
    while found := [p for p in PREFIXES if kept and all(key.startswith(p) for key in kept)]:
        kept = {key.removeprefix(found[0]): value for key, value in kept.items()}
    return kept


def _is_position_ids(key: str) -> bool:
    return key.rpartition(".")[2] == "position_ids"


def _unwrap(loaded: Any) -> Any:
    """The tensors inside what a training saved: `{"state_dict": {…}, "epoch": 3}`."""
    while isinstance(loaded, Mapping):
        inner = [loaded[name] for name in WRAPPERS if isinstance(loaded.get(name), Mapping)]
        if not inner:
            break
        loaded = inner[0]
    return loaded


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return tidy_state(load_file(path))
    except (SafetensorError, OSError) as error:
        msg = f"{path} is no file of weights that can be read safely: {error}"
        raise InvalidWeights(msg) from error


def shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def check_layout(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], *, origin: object
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
