"""The right road: a question in, an answer out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, wraps
from typing import Any, Literal, ParamSpec

from django.utils.translation import gettext

from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import IndexFault, IndexMissing
from mmsearch_app.inference import renew_after_fork
from mmsearch_app.searching.build import build_query
from mmsearch_app.searching.cache import digests_of
from mmsearch_app.searching.embed import query_vector
from mmsearch_app.searching.filters import parse
from mmsearch_app.searching.query import Answer, Query, SearchUnavailable
from mmsearch_app.searching.rerank import rerank
from mmsearch_app.searching.retrieve import Wanted, retrieve, searchable
from mmsearch_app.signals import searched
from mmsearch_app.sources import registry

__all__ = ["Clock", "announced", "answer", "build_query", "search"]

log = logging.getLogger(__name__)


_P = ParamSpec("_P")


def announced(
    request: Literal["search", "late"],
) -> Callable[[Callable[_P, Answer]], Callable[_P, Answer]]:
    """Send `searched` after every call of the function decorated."""

    def decorate(function: Callable[_P, Answer]) -> Callable[_P, Answer]:
        @wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> Answer:
            try:
                answer = function(*args, **kwargs)
            except Exception as error:
                searched.send_robust(sender=None, request=request, answer=None, error=error)
                raise
            searched.send_robust(sender=None, request=request, answer=answer, error=None)
            return answer

        return call

    return decorate


class Clock:
    """Measures stages: `with clock("embed"): ...`."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.milliseconds[stage] = round((time.perf_counter() - start) * 1000, 1)


_QUEUE_SECONDS = 2.0


def search(
    text: str | None = None,
    image: Any = None,
    like: Any = None,
    without: str | None = None,
    filters: Mapping[str, Any] | None = None,
    limit: int | None = None,
    rerank: bool = True,  # noqa: FBT001, FBT002 - fixed by the public contract
    user: Any = None,
    offset: int = 0,
) -> Answer:
    """Find products by a picture, words, or both.

    `image` is a PIL image, bytes or a binary file; `like` a product or its primary key, whose
    own picture is then the question and which is left out of the results; `without` names
    what is not wanted; `filters` are those of the sources, such as
    `{"category": 3, "price__lte": 20}`. Raises InvalidQuery with a sentence for the visitor,
    and SearchUnavailable when index or model are away.
    """
    query = build_query(
        text=text,
        image=image,
        like=like,
        without=without,
        filters=filters,
        limit=limit,
        rerank=rerank,
        user=user,
        offset=offset,
    )
    return answer(query)


@announced("search")
def answer(query: Query) -> Answer:
    """Answer a checked query. Raises InvalidQuery, and SearchUnavailable when it has to wait."""
    clock = Clock()
    try:
        with clock("total"):
            with _place():
                try:
                    found = _answer(query, clock)
                except IndexMissing:  # a rebuild dropped the generation under our hands
                    found = _answer(query, clock)
            if query.rerank and not query.offset:  # outside: a slow model is no slow search
                with clock("rerank"):
                    found = rerank(found)
    except IndexFault as error:
        log.warning("The search index is away: %s", error)
        msg = gettext("The search is not available at the moment.")
        raise SearchUnavailable(msg) from error
    return replace(found, timings=clock.milliseconds)


def _answer(query: Query, clock: Clock) -> Answer:
    generation = searchable()
    with clock("embed"):
        vector = query_vector(query, generation)
    query = replace(query, vector=vector)
    with clock("search"):
        hits = retrieve(
            vector,
            generation=generation,
            need=query.offset + query.limit + 1,
            wanted=_wanted(query),
        )
    best = hits[0].score if hits else -1.0
    page = hits[query.offset : query.offset + query.limit]
    return Answer(
        hits=tuple(page),
        query=query,
        more=len(hits) > query.offset + query.limit,
        no_good_match=best < get_settings().MIN_SCORE,
    )


def _wanted(query: Query) -> Wanted:
    wishes = parse(query.filters)
    if query.like is None:
        return Wanted(wishes=wishes, user=query.user)
    return Wanted(
        wishes=wishes,
        user=query.user,
        without_products=registry.keys_of(query.like),
        without_digests=digests_of(query.like),
    )


@cache
def _places(count: int) -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(count)


renew_after_fork(_places.cache_clear)


@contextmanager
def _place() -> Iterator[None]:
    """One of the places for searches at work; a queue that moves too slowly turns away."""
    places = _places(max(1, get_settings().MAX_CONCURRENT_SEARCHES))
    if not places.acquire(timeout=_QUEUE_SECONDS):
        msg = gettext("Too many searches at the same time; please try again in a moment.")
        raise SearchUnavailable(msg)
    try:
        yield
    finally:
        places.release()
