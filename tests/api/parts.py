"""Parts that a shop might plug in, which misbehave on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmsearch_app.indexes.base import Generation, Match
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.base import Ranking

SECRET = "the password is hunter2"


class Contrary:
    """A reranker that reverses the order and gives a reason in HTML."""

    fingerprint = "contrary-1"
    calls = 0

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        type(self).calls += 1
        order = tuple(reversed(range(len(candidates))))
        return Ranking(order=order, reason="<script>alert(1)</script>", caption="a picture")


class MovableIndex(MemoryIndex):
    """An index that raises `fault` if it is set."""

    fault: Exception | None = None

    def live(self) -> Generation | None:
        self._fail()
        return super().live()

    def search(self, *args: Any, **kwargs: Any) -> list[Match]:
        self._fail()
        return super().search(*args, **kwargs)

    def _fail(self) -> None:
        if self.fault:
            raise self.fault


def read_form(get_response: Any) -> Any:
    """Middleware that reads every form before the view does."""

    def middleware(request: Any) -> Any:
        request.POST  # noqa: B018
        return get_response(request)

    return middleware


def explode(error: Exception, context: Any) -> Any:
    """An exception handler that must never be called."""
    raise AssertionError("the project's exception handler was called")
