"""What the options of a part may be: each check raises ValueError that says what would be right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["needing", "require_at_least", "require_one_of", "require_origin", "require_share"]


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Imports in this block: where one fails, ImportError says which extra to install."""
    try:
        yield
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another torch
        msg = f"{error}. This needs the extra: pip install 'mmsearch[{extra}]'."
        raise ImportError(msg, name=getattr(error, "name", None)) from error


def require_one_of(option: str, given: str, allowed: Iterable[str]) -> None:
    """Refuse a name that is not among the allowed ones."""
    names = list(allowed)
    if given not in names:
        msg = f"{option} must be one of {', '.join(names)}, not {given!r}."
        raise ValueError(msg)


def require_at_least(least: int, **given: float) -> None:
    """Refuse the first of the options that is below `least`."""
    for option, number in given.items():
        if number < least:
            msg = f"{option} must be at least {least}, not {number}."
            raise ValueError(msg)


def require_share(**given: float) -> None:
    """Refuse the first of the options that is not from 0 to 1."""
    for option, number in given.items():
        if not 0 <= number <= 1:
            msg = f"{option} must be from 0 to 1, not {number}."
            raise ValueError(msg)


def require_origin(*, model: str, path: str | os.PathLike[str] | None, example: str) -> None:
    """Refuse both or none of a model of the hub and a folder; `example` is a name of the hub."""
    if bool(model) == (path is not None):
        msg = f"Give `model`, a name of the hub such as {example!r}, or `path`, a folder; one of "
        raise ValueError(f"{msg}the two.")
