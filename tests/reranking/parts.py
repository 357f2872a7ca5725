"""A reranker with moods, as a shop might plug one in."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Lock
from typing import Any, ClassVar

from mmsearch_app.embedders.base import Content
from mmsearch_app.rerankers.base import Ranking


class Moody:
    """Turns the order round and says why. What the class holds is shared by a test."""

    fingerprint = "moody-1"
    calls: ClassVar[list[tuple[Content, Sequence[Content]]]] = []
    said: ClassVar[dict[str, Any]] = {}
    """What replaces parts of its rankings."""
    fails: ClassVar[bool] = False
    gate: ClassVar[Event] = Event()
    """Closed, it hangs."""
    lock: ClassVar[Lock] = Lock()

    @classmethod
    def calm(cls) -> None:
        """Free whoever hangs, and begin anew."""
        cls.gate.set()
        cls.gate = Event()
        cls.gate.set()
        cls.calls.clear()
        cls.said.clear()
        cls.fails = False

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        gate = type(self).gate
        with self.lock:
            self.calls.append((query, candidates))
        gate.wait(30)
        if type(self).fails:
            raise ConnectionError("https://user:secret@models")
        given = {"order": tuple(reversed(range(len(candidates)))), "reason": "It is <b>best</b>."}
        return Ranking(**{**given, **self.said})
