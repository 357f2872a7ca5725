"""Meanings of the names that every start needs, shipped so that no start has to compute them.

`tools/meanings.py` writes the file. It counts only for the pinned weights; what it lacks is
embedded, which takes a few seconds for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.starter import weights

Group: TypeAlias = tuple[str, ...]
"""Names of one thing, such as ("sunglasses", "dark glasses"); their meaning is the mean."""
Meanings: TypeAlias = NDArray[np.float32]

FILE: Final = "data/meanings.npz"
_WEIGHTS: Final = f"{weights.SENTENCES.sha256} {weights.TOKENIZER.sha256}"


def recall(groups: Sequence[Group], embed: Callable[[Sequence[Group]], Meanings]) -> Meanings:
    """Return the meaning of each group of texts, (n, 384).

    `embed` is called with those that are not known.
    """
    known = dict(_read())
    missing = [group for group in dict.fromkeys(groups) if group not in known]
    if missing:
        known.update(zip(missing, embed(missing), strict=True))
    return np.array([known[group] for group in groups], np.float32)


def write_meanings(path: Path, groups: Sequence[Group], meanings: Meanings) -> None:
    """Write the file. Half precision changes vectors by roundings only."""
    columns: dict[str, Any] = {
        "weights": _encode(_WEIGHTS),
        "groups": _encode("\n".join(map("\t".join, groups))),
        "meanings": meanings.astype(np.float16),
    }
    np.savez_compressed(path, **columns)


@cache
def _read() -> Mapping[Group, Meanings]:
    with files(__package__).joinpath(FILE).open("rb") as file, np.load(file) as columns:
        if _decode(columns["weights"]) != _WEIGHTS:
            return {}
        groups = [tuple(line.split("\t")) for line in _decode(columns["groups"]).split("\n")]
        return dict(zip(groups, columns["meanings"], strict=True))


def _encode(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _decode(column: NDArray[np.uint8]) -> str:
    return column.tobytes().decode()
