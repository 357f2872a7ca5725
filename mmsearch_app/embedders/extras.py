"""Libraries that only some shops install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["needing"]


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Imports in this block: where one fails, ImportError says which extra to install."""
    try:
        yield
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another torch
        msg = f"{error}. This needs the extra: pip install 'mmsearch[{extra}]'."
        raise ImportError(msg, name=getattr(error, "name", None)) from error
