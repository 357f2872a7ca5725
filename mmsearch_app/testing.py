"""For the tests of a shop: an embedder without weights, settings that use it, and helpers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from django.core.signals import setting_changed
from numpy.typing import NDArray

from mmsearch_app.inference import Content
from mmsearch_app.sources import ImageSource, forget_logged, registry

__all__ = ["IN_MEMORY", "TestingEmbedder", "index_everything", "registered", "reset"]

_BINS = 4
_WORDS = 192


class TestingEmbedder:
    """Deterministic and instant: a coarse colour histogram beside hashed words.

    Images of similar colours and titles with words in common are close together. It understands
    nothing more; it is for tests.
    """

    __test__ = False
    dimension = _BINS**3 + _WORDS

    def __init__(self, *, fingerprint: str = "testing-1") -> None:
        self.fingerprint = fingerprint

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Return vectors of shape (n, 256), float32, of length 1."""
        return np.stack([_vector(content) for content in contents])

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Return vectors like those of documents."""
        return self.embed_documents(contents)


def _vector(content: Content) -> NDArray[np.float32]:
    vector = np.zeros(TestingEmbedder.dimension, np.float32)
    if content.image is not None:
        pixels = np.asarray(content.image.convert("RGB").resize((16, 16))).reshape(-1, 3)
        bins = (pixels // (256 // _BINS)).astype(int) @ np.array([_BINS**2, _BINS, 1])
        colours = np.bincount(bins, minlength=_BINS**3).astype(np.float32)
        vector[: _BINS**3] = colours / np.linalg.norm(colours)
    for word in re.findall(r"\w+", (content.text or "").lower()):
        place = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % _WORDS
        vector[_BINS**3 + place] += 1
    words = vector[_BINS**3 :]
    words /= max(float(np.linalg.norm(words)), 1.0)
    length = float(np.linalg.norm(vector))
    if length == 0:
        vector[-1] = length = 1.0
    return vector / np.float32(length)


IN_MEMORY: dict[str, Any] = {
    "EMBEDDER": {"BACKEND": "mmsearch_app.testing.TestingEmbedder"},
    "INDEX": {"BACKEND": "mmsearch_app.indexes.memory.MemoryIndex"},
}
"""A value for the setting MMSEARCH that needs no weights, no file and no socket."""


def index_everything() -> None:
    """Bring the index up to date with the database now, as a worker would.

    Raises AssertionError if the index or the model is unavailable.
    """
    from mmsearch_app.indexing import drain, reconcile

    reconcile()
    drained = drain()
    if drained.problem:
        raise AssertionError(drained.problem)


@contextmanager
def registered(source: ImageSource) -> Iterator[ImageSource]:
    """Register a source and connect its signals, for the duration of the block."""
    from mmsearch_app.indexing import connect

    registry.add(source)
    try:
        connect()
        yield source
    finally:
        registry.remove(source.name)


def reset() -> None:
    """Forget the setting and all parts, as if the process were new.

    An index in memory loses its content. `override_settings(MMSEARCH=…)` does this by itself.
    """
    setting_changed.send(sender=None, setting="MMSEARCH", value=None, enter=False)
    forget_logged()
