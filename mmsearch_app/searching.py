"""The right road: a question in, an answer out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from mmsearch_app.asking import build_query
from mmsearch_app.conf import get_settings
from mmsearch_app.filters import parse
from mmsearch_app.indexes.base import IndexFault, IndexMissing
from mmsearch_app.ledger import key_of
from mmsearch_app.models import Entry
from mmsearch_app.query import Answer, Query, SearchUnavailable
from mmsearch_app.reranking import rerank
from mmsearch_app.retrieval import Wanted, retrieve, searchable
from mmsearch_app.sources import product_key, registry
from mmsearch_app.vectors import query_vector

__all__ = ["answer", "build_query", "search"]

log = logging.getLogger(__name__)
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


def answer(query: Query) -> Answer:
    """Answer a checked query. Raises InvalidQuery, and SearchUnavailable when it has to wait."""
    clock = Clock()
    try:
        with _place(), clock("total"):
            try:
                found = _answer(query, clock)
            except IndexMissing:  # a rebuild dropped the generation under our hands
                found = _answer(query, clock)
    except IndexFault as error:
        log.warning("The search index is away: %s", error)
        msg = "The search is not available at the moment."
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
    found = Answer(
        hits=tuple(page),
        query=query,
        more=len(hits) > query.offset + query.limit,
        no_good_match=best < get_settings().MIN_SCORE,
    )
    if not query.rerank or query.offset:
        return found
    with clock("rerank"):
        return rerank(found)


def _wanted(query: Query) -> Wanted:
    wishes = parse(query.filters)
    if query.like is None:
        return Wanted(wishes=wishes, user=query.user)
    return Wanted(
        wishes=wishes,
        user=query.user,
        without_products=(product_key(query.like),),
        without_digests=_digests(query.like),
    )


def _digests(product: Any) -> frozenset[str]:
    """The bytes of the product's own pictures, which other products may share."""
    found: set[str] = set()
    for source in registry:
        if source.shows(product):
            keys = [key_of(pk) for pk in source.rows_of(product).values_list("pk", flat=True)]
            entries = Entry.objects.filter(source=source.name, object_pk__in=keys)
            found.update(entries.exclude(digest="").values_list("digest", flat=True))
    return frozenset(found)


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


@cache
def _places(count: int) -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(count)


@contextmanager
def _place() -> Iterator[None]:
    """One of the places for searches at work; a queue that moves too slowly turns away."""
    places = _places(max(1, get_settings().MAX_CONCURRENT_SEARCHES))
    if not places.acquire(timeout=_QUEUE_SECONDS):
        msg = "Too many searches at the same time; please try again in a moment."
        raise SearchUnavailable(msg)
    try:
        yield
    finally:
        places.release()
