"""Images that a model saw lately, as it sees them: shown again, they cost no second look."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.rerankers.idefics3.pictures import TileGrid

SEEN_BYTES: Final = 16 << 20
"""Of all that is kept. One image of SmolVLM 256M takes 150 KB, in 17 tiles 2.5 MB."""
SEEN_SECONDS: Final = 600
"""How long an image is kept: a visitor's is personal."""


class SeenImage(NamedTuple):
    """An image as tokens of the language model."""

    grid: TileGrid
    tokens: NDArray[np.float32]
    """(tokens, width)."""


class SeenImages:
    """Keeps the newest images, under hashes with a key of its own. For one thread at a time.

    The question's image and the candidates' are shown several times: for a caption, for the order,
    for a reason, and when the words of the question change. What has expired is dropped at the next
    use.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, tuple[float, SeenImage]] = OrderedDict()
        self.size = 0
        """Bytes that are kept."""

    def find(self, image: Image.Image, see: Callable[[Image.Image], SeenImage]) -> SeenImage:
        """Return what is kept of an RGB image, else what `see` returns of it."""
        while self._kept and next(iter(self._kept.values()))[0] <= time.monotonic():
            self._drop_oldest()
        text = repr(image.size).encode() + image.tobytes()
        name = hashlib.blake2b(text, key=self._secret, digest_size=16).digest()
        if name in self._kept:
            return self._kept[name][1]
        seen = see(image)
        self._kept[name] = time.monotonic() + SEEN_SECONDS, seen
        self.size += seen.tokens.nbytes
        while self.size > SEEN_BYTES:
            self._drop_oldest()
        return seen

    def _drop_oldest(self) -> None:
        _, (_, seen) = self._kept.popitem(last=False)
        self.size -= seen.tokens.nbytes
