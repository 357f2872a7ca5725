"""Embedding queries of several threads together.

Works like the group commit of databases. A caller who finds the embedder idle runs it at once,
alone. Callers who arrive during that run wait for its end, and then all go together, in the
thread of the first of them. A lone query never waits, there is no time window to tune and no
background thread, and batches grow with the load.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.inference import Content, renew_after_fork

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Call:
    """One caller's queries and their vectors."""

    contents: Sequence[Content]
    woken: threading.Event = field(default_factory=threading.Event)
    """Set when the vectors are there, when this caller leads, or when it must go alone."""
    vectors: NDArray[np.float32] | None = None


class Batcher:
    """Embeds queries of several threads together, at most `most` in one run.

    A caller waits at most `seconds` for the runs of others; its own run has no limit. If a run of
    several callers fails, each of them tries again alone, so that an error reaches only the caller
    who caused it. An embedder with `batches_itself` is called directly.
    """

    def __init__(self, embedder: Embedder, *, most: int, seconds: float) -> None:
        self.embedder = embedder
        self.most = most
        self.seconds = seconds
        self._direct = getattr(embedder, "batches_itself", False)
        self._reset()
        renew_after_fork(self._reset)

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Return float32 rows of length 1, shape (n, dimension), in the given order.

        Raises what the embedder raises for these queries, and TimeoutError if it was busy with
        other queries for too long.
        """
        if self._direct or not contents:
            return self.embedder.embed_queries(contents)
        call = _Call(contents)
        try:
            if not self._join(call):
                self._wait(call)
            if self._leader is call:
                self._lead()
        finally:
            self._leave(call)
        if call.vectors is None:
            return self.embedder.embed_queries(contents)
        return call.vectors

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._leader: _Call | None = None
        """The call whose thread runs the embedder; the first of `_waiting` until its run begins."""

    def _join(self, call: _Call) -> bool:
        """Queue up. Return whether this call leads at once."""
        with self._lock:
            self._waiting.append(call)
            if self._leader is None:
                self._leader = call
            return self._leader is call

    def _wait(self, call: _Call) -> None:
        if not call.woken.wait(self.seconds):
            msg = f"The embedder was busy with other queries for {self.seconds:g} seconds."
            raise TimeoutError(msg)

    def _lead(self) -> None:
        """Run the embedder for the waiting calls, up to `most` queries, and wake them."""
        batch = self._take()
        try:
            self._run(batch)
        except Exception:
            if len(batch) == 1:
                raise
            msg = "Embedding the queries of %d callers together failed; each is tried again alone"
            log.warning(msg, len(batch), exc_info=True)
        finally:
            for call in batch:
                call.woken.set()

    def _take(self) -> list[_Call]:
        with self._lock:
            batch = [self._waiting.popleft()]
            count = len(batch[0].contents)
            while self._waiting and count + len(self._waiting[0].contents) <= self.most:
                batch.append(self._waiting.popleft())
                count += len(batch[-1].contents)
            return batch

    def _run(self, batch: Sequence[_Call]) -> None:
        contents = [content for call in batch for content in call.contents]
        vectors = self.embedder.embed_queries(contents)
        if len(vectors) != len(contents):
            msg = f"The embedder returned {len(vectors)} vectors for {len(contents)} queries."
            raise ValueError(msg)
        start = 0
        for call in batch:
            call.vectors = vectors[start : start + len(call.contents)]
            start += len(call.contents)

    def _leave(self, call: _Call) -> None:
        """Leave the queue, and pass on the lead if this call has it."""
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
            if self._leader is call:
                self._leader = self._waiting[0] if self._waiting else None
                if self._leader is not None:
                    self._leader.woken.set()
