"""What others may listen to, beside the left road's pokes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Literal, ParamSpec

from django.dispatch import Signal

from mmsearch_app.query import Answer

__all__ = ["announced", "searched"]

P = ParamSpec("P")

searched = Signal()
"""Sent after every search with `request` ("search", or "late" for a late rerank), `answer` (an
`Answer`, or None) and `error` (what was raised instead, or None). What a receiver raises is
logged. The answer carries the visitor's words and picture: keep neither."""


def announced(
    request: Literal["search", "late"],
) -> Callable[[Callable[P, Answer]], Callable[P, Answer]]:
    """Send `searched` after every call of the function decorated."""

    def decorate(function: Callable[P, Answer]) -> Callable[P, Answer]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Answer:
            try:
                answer = function(*args, **kwargs)
            except Exception as error:
                searched.send_robust(sender=None, request=request, answer=None, error=error)
                raise
            searched.send_robust(sender=None, request=request, answer=answer, error=None)
            return answer

        return call

    return decorate
