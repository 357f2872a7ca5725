"""Settings of `benchmarks.search`: the example shop, with a model that costs nothing.

With STARTER in the environment, the shop has its own embedder.
"""

import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from example_shop.settings import *  # noqa: F403
from example_shop.settings import MMSEARCH as _SHOP

DIMENSION = 512
DEBUG = False  # it would record every statement


class RandomEmbedder:
    """Random vectors of length 1: the same content has the same vector."""

    dimension = DIMENSION
    fingerprint = f"random/{DIMENSION}"

    def embed_documents(self, contents: Sequence[Any]) -> NDArray[np.float32]:
        return np.stack([_vector(content) for content in contents])

    embed_queries = embed_documents


def _vector(content: Any) -> NDArray[np.float32]:
    seen = b"" if content.image is None else content.image.resize((8, 8)).tobytes()
    seed = zlib.crc32(seen + (content.text or "").encode())
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector))


MMSEARCH = {
    **_SHOP,
    "WORKER_THREAD": False,
    "THROTTLE_RATE": "1000000/m",  # counted, as in a shop, but never reached
    "WARM_UP": False,
}
if "STARTER" not in os.environ:
    MMSEARCH["EMBEDDER"] = {"BACKEND": f"{__name__}.RandomEmbedder"}
