"""Queries that meet at the embedder go through it together.

As databases commit in groups: who finds the embedder idle runs it at once, alone. Who comes while
it runs waits for the end of that run, and then all who wait go together, in the thread of the
one who came first. A lone query waits for nobody, there is no window to tune and no thread to
keep alive, and the busier it gets, the larger the batches are.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.inference import Content, renew_after_fork

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Batcher"]

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Call:
    """One caller's queries, and what became of them."""

    contents: Sequence[Content]
    woken: threading.Event = field(default_factory=threading.Event)
    """Set when there is an answer, when it is this caller's turn, or when it must go alone."""
    vectors: NDArray[np.float32] | None = None


class Batcher:
    """Embeds queries of several threads, at most `most` of them in one run.

    `seconds` is how long a query waits for others; a run in its own thread takes what it takes.
    When a run fails, each of its callers tries again alone, so that an error reaches exactly the
    one who caused it. An embedder with `batches_itself` is called directly.
    """

    def __init__(self, embedder: Embedder, *, most: int, seconds: float) -> None:
        self.embedder = embedder
        self.most = most
        self.seconds = seconds
        self._direct = getattr(embedder, "batches_itself", False)
        self._reset()
        renew_after_fork(self._reset)

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Shape (n, dimension), float32, rows of length 1, in the order given.

        Raises whatever the embedder raises for these queries, and TimeoutError when it was busy
        with others for too long.
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
        """Whose thread runs the embedder; the first of `_waiting` until its run begins."""

    def _join(self, call: _Call) -> bool:
        """Get into line; whether it is the caller's turn at once."""
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
        """Run the embedder for all who wait, up to `most` queries, and tell them."""
        batch: list[_Call] = []
        try:
            batch += self._take()
            self._run(batch)
        except Exception:
            if len(batch) == 1:
                raise
            log.warning("A run of %d queries failed; each goes alone", len(batch), exc_info=True)
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
        """Get out of line, and pass on the lead if it is this caller's."""
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
            if self._leader is call:
                self._leader = self._waiting[0] if self._waiting else None
                if self._leader is not None:
                    self._leader.woken.set()
