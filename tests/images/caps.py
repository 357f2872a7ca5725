"""`open_image` with the limits that a shop has by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image

from mmsearch_app import images
from mmsearch_app.conf import Settings

if TYPE_CHECKING:
    from mmsearch_app.images.open import Source

CAPS = Settings().upload_caps


def open_image(source: Source | Image.Image, **options: Any) -> Image.Image:
    caps: dict[str, Any] = {**CAPS, **options}
    return images.open_image(source, **caps)
