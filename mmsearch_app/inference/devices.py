"""Where a torch model runs, and in which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import torch

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]


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
