"""Vectors of what was asked recently in this process: asked again, it costs no model."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections import deque

import numpy as np
from django.core.signals import setting_changed
from numpy.typing import NDArray

from mmsearch_app.conf import get_settings
from mmsearch_app.inference import renew_after_fork

MOST_BYTES = 8 * 1024 * 1024
"""Of vectors that are kept at the same time: some 1,800 of 1,024 components."""
OVERHEAD = 512
"""Bytes that a vector takes beside its components."""


class RecentVectors:
    """Keeps vectors for `RERANK_SECONDS`: the newest ones, in at most `most_bytes` of memory.

    Their names are hashes with a key of this process, so that nobody can tell from them what was
    asked. What has expired is dropped at the next use.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.reset()
        renew_after_fork(self.reset)

    def reset(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        self._secret = secrets.token_bytes(32)
        self._kept: dict[str, NDArray[np.float32]] = {}
        self._ends: deque[tuple[float, str]] = deque()
        """When each is dropped, a time of `time.monotonic`; the oldest first."""
        self._bytes = 0

    def name(self, *parts: str) -> str:
        """Return the name of the vector that these texts determine."""
        text = json.dumps(parts).encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=16).hexdigest()

    def find(self, name: str) -> NDArray[np.float32] | None:
        """Return the vector of that name, which must not be changed, or None."""
        with self._lock:
            self._drop_expired()
            return self._kept.get(name)

    def keep(self, name: str, vector: NDArray[np.float32]) -> None:
        """Keep a copy of the vector under that name."""
        own = np.array(vector, dtype=np.float32)
        own.flags.writeable = False
        with self._lock:
            self._drop_expired()
            if name in self._kept:
                return
            self._kept[name] = own
            self._ends.append((time.monotonic() + get_settings().RERANK_SECONDS, name))
            self._bytes += own.nbytes + OVERHEAD
            while self._bytes > self.most_bytes:
                self._drop_oldest()

    def _drop_expired(self) -> None:
        now = time.monotonic()
        while self._ends and self._ends[0][0] <= now:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, name = self._ends.popleft()
        self._bytes -= self._kept.pop(name).nbytes + OVERHEAD


recent_vectors = RecentVectors()


def _forget(*, setting: str, **_: object) -> None:
    if setting == "MMSEARCH":
        recent_vectors.reset()


setting_changed.connect(_forget, dispatch_uid="mmsearch_app.searching.recent")
