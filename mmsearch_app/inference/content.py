"""What every model is given, and how it reports that it cannot answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Content", "ModelFailed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is embedded or shown to a model; at least one of the two is given.

    `image` is RGB, already safe, upright and flattened (see `mmsearch_app.images`).
    `text` is untrusted: an embedder never opens it as an address or a path.
    """

    image: Image.Image | None = None
    text: str | None = None


class ModelFailed(RuntimeError):
    """The model cannot answer now or not at all; the message is for an operator's log."""
