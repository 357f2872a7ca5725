"""What every model takes as input, and the error of a model that cannot answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """An image, a text, or both, to embed or to show to a model.

    `image` is RGB, upright and flattened, and was checked by `mmsearch_app.images`.
    `text` is untrusted: no model may open it as an address or a path.
    """

    image: Image.Image | None = None
    text: str | None = None


class ModelFailed(RuntimeError):
    """The model cannot answer, now or at all; the message is for an operator's log."""
