"""Options of a part: checks that say what would be right, and what a name of torch's means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import torch

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Make an import that fails in this block raise ImportError that names the extra to install."""
    try:
        yield
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another torch
        msg = f"{error}. This needs the extra: pip install 'mmsearch[{extra}]'."
        raise ImportError(msg, name=getattr(error, "name", None)) from error


def require_one_of(option: str, given: str, allowed: Iterable[str]) -> None:
    names = list(allowed)
    if given not in names:
        msg = f"{option} must be one of {', '.join(names)}, not {given!r}."
        raise ValueError(msg)


def require_at_least(least: int, **given: float) -> None:
    for option, number in given.items():
        if number < least:
            msg = f"{option} must be at least {least}, not {number}."
            raise ValueError(msg)


def require_share(**given: float) -> None:
    """Refuse options that are not from 0 to 1."""
    for option, number in given.items():
        if not 0 <= number <= 1:
            msg = f"{option} must be from 0 to 1, not {number}."
            raise ValueError(msg)


def require_origin(*, model: str, path: str | os.PathLike[str] | None, example: str) -> None:
    """Refuse unless exactly one of `model` and `path` is given; `example` shows a model's name."""
    if bool(model) == (path is not None):
        msg = (
            f"Give either `model`, a repository of the Hugging Face hub such as {example!r}, or "
            "`path`, a folder: exactly one of the two."
        )
        raise ValueError(msg)


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is the GPU if there is one, else the CPU."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_dtype(name: Precision) -> torch.dtype:
    import torch

    chosen: torch.dtype = getattr(torch, name)
    return chosen
