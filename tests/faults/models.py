"""An embedder that can hang, fail and answer nonsense."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.inference import Content
from mmsearch_app.testing import TestingEmbedder

Vectors = NDArray[np.float32]


class Embedder(TestingEmbedder):
    """What `mood` makes of the right vectors of documents is returned instead."""

    mood: ClassVar[Callable[[Vectors], Any] | None] = None

    def embed_documents(self, contents: Sequence[Content]) -> Vectors:
        vectors = super().embed_documents(contents)
        mood = Embedder.mood
        return vectors if mood is None else mood(vectors)

    def embed_queries(self, contents: Sequence[Content]) -> Vectors:
        return super().embed_documents(contents)


@contextmanager
def in_mood(mood: Callable[[Vectors], Any]) -> Iterator[None]:
    Embedder.mood = staticmethod(mood)
    try:
        yield
    finally:
        Embedder.mood = None
