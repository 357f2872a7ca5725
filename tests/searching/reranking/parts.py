"""A reranker and a cache that misbehave on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Any, ClassVar

from django.core.cache.backends.base import BaseCache
from django.db import connections

from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.searching.guard import get_guard
from tests.waiting import until


class Moody:
    """Reverses the order and gives a reason. Its state is on the class, for the test to change."""

    fingerprint = "moody-1"
    calls: ClassVar[list[tuple[Content, Sequence[Content]]]] = []
    said: ClassVar[dict[str, Any]] = {}
    """Fields to replace in its rankings."""
    fails: ClassVar[bool] = False
    gate: ClassVar[Event] = Event()
    """While this is not set, `rerank` blocks."""
    lock: ClassVar[Lock] = Lock()

    @classmethod
    def calm(cls) -> None:
        """Release blocked calls and reset all state."""
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
        gate.wait(120)
        if type(self).fails:
            raise ConnectionError("https://user:secret@models")
        given = {"order": tuple(reversed(range(len(candidates)))), "reason": "It is <b>best</b>."}
        return Ranking(**{**given, **self.said})


@contextmanager
def crowd(reranker: type[Moody], *asks: Callable[[], object]) -> Iterator[None]:
    """Run all calls in threads that are blocked in the reranker until the block ends."""

    def run(ask: Callable[[], object]) -> None:
        ask()
        connections.close_all()

    reranker.gate.clear()
    threads = [Thread(target=run, args=(ask,)) for ask in asks]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(get_guard()._calls) >= len(asks))
        yield
    finally:
        reranker.gate.set()
        for thread in threads:
            thread.join()


class Away(BaseCache):
    """A cache whose server is down."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        raise ConnectionError("the cache is down")

    def clear(self) -> None:
        """Do nothing, so that fixtures can clear the cache."""

    def set(self, key: Any, value: Any, timeout: Any = None, version: Any = None) -> None:
        raise ConnectionError("the cache is down")


def titles(found: Any) -> list[str]:
    return [hit.title for hit in found.hits]
