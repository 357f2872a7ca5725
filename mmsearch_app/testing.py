"""For the tests of a shop: an embedder without weights, settings that use it, and helpers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from django.conf import settings
from django.core.signals import setting_changed
from django.test.utils import override_settings
from numpy.typing import NDArray

from mmsearch_app.conf import FOR_TESTS, IN_MEMORY
from mmsearch_app.indexes import Generation
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.inference import Content
from mmsearch_app.sources import ImageSource, forget_logged, registry

__all__ = [
    "IN_MEMORY",
    "TestingEmbedder",
    "TestingIndex",
    "as_configured",
    "index_everything",
    "registered",
    "reset",
    "search_in_memory",
]

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


class TestingIndex(MemoryIndex):
    """A `MemoryIndex` that can be searched from the start: it is empty, not still to be built."""

    __test__ = False

    def live(self) -> Generation | None:
        from mmsearch_app.backends import get_embedder

        with self._lock:
            if self._live is None:
                embedder = get_embedder()
                made = self.create(fingerprint=embedder.fingerprint, dimension=embedder.dimension)
                self.promote(made.name)
            return super().live()


def index_everything() -> None:
    """Bring the index up to date with the database now, as a worker would.

    An index in memory first forgets the rows of earlier tests, which were rolled back. Raises
    AssertionError if the index or the model is unavailable.
    """
    from mmsearch_app.backends import get_index
    from mmsearch_app.indexing import drain, reconcile
    from mmsearch_app.models import Entry

    if isinstance(get_index(), MemoryIndex) and not Entry.objects.exclude(generation="").exists():
        reset()
    reconcile()
    drained = drain()
    if drained.problem:
        raise AssertionError(drained.problem)


def search_in_memory(**keys: Any) -> override_settings:
    """Use an empty index in memory and an embedder without weights, with these keys of MMSEARCH.

    A context manager for a block or a fixture, and a decorator for a test or a test case.
    """
    return override_settings(MMSEARCH={**FOR_TESTS, **keys})


def as_configured(**keys: Any) -> override_settings:
    """Use MMSEARCH as the shop's settings have it, with its index, models and worker thread.

    Under a test runner they are replaced otherwise. `keys` are other values for this test; name an
    index of its own if the test writes. A context manager and decorator like `search_in_memory`.
    """
    return override_settings(MMSEARCH={**getattr(settings, "MMSEARCH", {}), **keys})


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
