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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.inference import Content, renew_after_fork

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Call(Generic[_T]):
    """One caller's queries and their vectors."""

    contents: Sequence[_T]
    woken: threading.Event = field(default_factory=threading.Event)
    """Set when the vectors are there, when this caller leads, or when it must go alone."""
    vectors: NDArray[np.float32] | None = None


class Joiner(Generic[_T]):
    """Calls a function for several threads together, with at most `most` of their items a run.

    A caller waits at most `seconds` for the runs of others; its own run has no limit. If a run of
    several callers fails, each of them tries again alone, so that an error reaches only the caller
    who caused it. With `direct`, nothing is joined.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[_T]], NDArray[np.float32]],
        *,
        most: int,
        seconds: float,
        direct: bool = False,
    ) -> None:
        self.most = most
        self.seconds = seconds
        self._embed = embed
        self._direct = direct
        self._reset()
        renew_after_fork(self._reset)

    def run(self, contents: Sequence[_T]) -> NDArray[np.float32]:
        """Return the function's row for each item, in the given order.

        Raises what the function raises for these items, and TimeoutError if it was busy with
        others for too long.
        """
        if self._direct or not contents:
            return self._embed(contents)
        call = _Call(contents)
        try:
            if not self._join(call):
                self._wait(call)
            if self._leader is call:
                self._lead()
        finally:
            self._leave(call)
        if call.vectors is None:
            return self._embed(contents)
        return call.vectors

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Call[_T]] = deque()
        self._leader: _Call[_T] | None = None
        """The call whose thread runs the embedder; the first of `_waiting` until its run begins."""

    def _join(self, call: _Call[_T]) -> bool:
        """Queue up. Return whether this call leads at once."""
        with self._lock:
            self._waiting.append(call)
            if self._leader is None:
                self._leader = call
            return self._leader is call

    def _wait(self, call: _Call[_T]) -> None:
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

    def _take(self) -> list[_Call[_T]]:
        with self._lock:
            batch = [self._waiting.popleft()]
            count = len(batch[0].contents)
            while self._waiting and count + len(self._waiting[0].contents) <= self.most:
                batch.append(self._waiting.popleft())
                count += len(batch[-1].contents)
            return batch

    def _run(self, batch: Sequence[_Call[_T]]) -> None:
        contents = [content for call in batch for content in call.contents]
        vectors = self._embed(contents)
        if len(vectors) != len(contents):
            msg = f"The embedder returned {len(vectors)} vectors for {len(contents)} queries."
            raise ValueError(msg)
        start = 0
        for call in batch:
            call.vectors = vectors[start : start + len(call.contents)]
            start += len(call.contents)

    def _leave(self, call: _Call[_T]) -> None:
        """Leave the queue, and pass on the lead if this call has it."""
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
            if self._leader is call:
                self._leader = self._waiting[0] if self._waiting else None
                if self._leader is not None:
                    self._leader.woken.set()


class Batcher(Joiner[Content]):
    """Embeds queries of several threads together, unless the embedder `batches_itself`."""

    def __init__(self, embedder: Embedder, *, most: int, seconds: float) -> None:
        self.embedder = embedder
        direct = getattr(embedder, "batches_itself", False)
        super().__init__(self._ask, most=most, seconds=seconds, direct=direct)

    def embed_queries(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        """Return float32 rows of length 1, shape (n, dimension), in the given order.

        Raises what the embedder raises for these queries, and TimeoutError if it was busy with
        other queries for too long.
        """
        return self.run(contents)

    def _ask(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        return self.embedder.embed_queries(contents)
