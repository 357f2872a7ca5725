"""A reranker with moods, as a shop might plug one in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Any, ClassVar

from django.core.cache.backends.base import BaseCache
from django.db import connections

from mmsearch_app import conf
from mmsearch_app.embedders.base import Content
from mmsearch_app.rerankers.base import Ranking
from tests.waiting import until


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
        gate.wait(120)
        if type(self).fails:
            raise ConnectionError("https://user:secret@models")
        given = {"order": tuple(reversed(range(len(candidates)))), "reason": "It is <b>best</b>."}
        return Ranking(**{**given, **self.said})


@contextmanager
def crowd(reranker: type[Moody], *asks: Callable[[], object]) -> Iterator[None]:
    """While the block runs, all of these hang in the reranker."""

    def run(ask: Callable[[], object]) -> None:
        ask()
        connections.close_all()

    reranker.gate.clear()
    threads = [Thread(target=run, args=(ask,)) for ask in asks]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(conf.get_guard()._flights) >= len(asks))
        yield
    finally:
        reranker.gate.set()
        for thread in threads:
            thread.join()


class Away(BaseCache):
    """A cache whose server is away."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        raise ConnectionError("the cache is away")

    def clear(self) -> None:
        """There is nothing."""

    def set(self, key: Any, value: Any, timeout: Any = None, version: Any = None) -> None:
        raise ConnectionError("the cache is away")


def titles(found: Any) -> list[str]:
    return [hit.title for hit in found.hits]
