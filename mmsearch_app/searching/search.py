"""Answer a query: embed it, search the index, rerank the first hits."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Literal

from django.http import HttpRequest
from django.utils.translation import gettext

from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import Generation, IndexFault, IndexMissing
from mmsearch_app.inference import Admission, Crowded
from mmsearch_app.searching.build import build_query
from mmsearch_app.searching.embed import needs_model, query_vector, require_loaded, without_refused
from mmsearch_app.searching.filters import parse
from mmsearch_app.searching.floor import floor_of, kind_of
from mmsearch_app.searching.index_time import index_time, unavailable
from mmsearch_app.searching.query import Answer, Query, too_crowded
from mmsearch_app.searching.reference import known_of_reference
from mmsearch_app.searching.rerank import rerank as rerank_answer
from mmsearch_app.searching.retrieve import Scope, find_popular, retrieve, searchable
from mmsearch_app.signals import searched
from mmsearch_app.sources import registry

log = logging.getLogger(__name__)
_places = Admission()
"""The places in which this process searches."""
_NO_SECONDS = 1e11
"""A time that is greater is not in seconds: they reach it in the year 5138."""
_LONGEST_QUEUE = 600.0
"""Seconds; a request that seems to have waited longer comes from a clock that is wrong."""


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
    *,
    request: Any = None,
) -> Answer:
    """Find products by an image, words, or both.

    `image` is a PIL image, bytes or a binary file. `like` is a product or its primary key: its
    own image is searched for, and the product is left out of the results. `without` says what
    is not wanted. `filters` are those of the sources, such as `{"category": 3,
    "price__lte": 20}`.

    What the visitor `user` may see, with `request`, the sources say in `visible_to`.

    Raises InvalidQuery with a message for the visitor, and SearchUnavailable if the index or
    the model is unavailable or busy: its `retry_after` says in how many seconds to try again.
    """
    return answer(build_query(**locals()))


def answer(query: Query) -> Answer:
    """Answer a checked query, and send the signal `searched`.

    Raises InvalidQuery, and SearchUnavailable if the search has to be tried again later.
    """
    return with_signal("search", lambda: _answer(query))


def _answer(query: Query) -> Answer:
    clock = Clock()
    if needs_model(query):
        require_loaded()
    with clock("total"):
        with _place(query):
            found = _ask_index(query, clock)
        if query.rerank and not query.offset and not found.fallback:
            # Outside the place: a slow reranker must not keep others from searching.
            with clock("rerank"):
                found = rerank_answer(found)
    return replace(found, timings=clock.milliseconds)


def _ask_index(query: Query, clock: Clock) -> Answer:
    try:
        with index_time():
            return _find_again(query, clock)
    except IndexFault as error:
        log.warning("The search index is unavailable: %s", error)
        raise unavailable() from error


def _find_again(query: Query, clock: Clock) -> Answer:
    try:
        return _find(query, clock)
    except IndexMissing:  # a rebuild dropped this generation meanwhile; its successor is live
        searchable()  # asks which one that is
        return _find(query, clock)


def _find(query: Query, clock: Clock) -> Answer:
    scope = _scope(query)
    found = _nearest(query, scope, clock)
    if not found.no_good_match or query.offset:
        return found
    if found.hits:
        found = replace(found, notes=(*found.notes, gettext("Nothing fits really well.")))
    return _instead(query, scope, found, clock)


def _nearest(query: Query, scope: Scope, clock: Clock) -> Answer:
    generation = searchable(recently=True)
    with clock("embed"):
        asked = without_refused(query)
        vector, notes = query_vector(asked, generation)
    end = query.offset + query.limit
    with clock("search"):
        found = retrieve(vector, generation=generation, need=end + 1, scope=scope)
        if len(found) <= end:
            _require_unchanged(generation)
        hits = tuple(one.show() for one in found[query.offset : end])
    best = found[0].score if found else -1.0
    return Answer(
        hits=hits,
        query=replace(query, vector=vector),
        more=len(found) > end,
        no_good_match=not found or best < floor_of(asked, generation),
        notes=notes,
    )


def _instead(query: Query, scope: Scope, found: Answer, clock: Clock) -> Answer:
    """Return what the setting `NO_GOOD_MATCH` shows instead of hits that do not fit."""
    choice = get_settings().NO_GOOD_MATCH
    if choice == "nothing":
        return replace(found, hits=(), more=False, fallback="nothing")
    if choice == "popular" and (hits := find_popular(scope, need=query.limit)):
        return replace(found, hits=tuple(hits), more=False, fallback="popular")
    if choice in ("words", "picture") and kind_of(query) == "composed":
        words_only = replace(query, image=None, like=None, stand_in=None)
        half = words_only if choice == "words" else replace(query, text="")
        other = _nearest(half, scope, clock)
        if not other.no_good_match and other.query is not None:
            whole = replace(query, vector=other.query.vector)
            notes = (*found.notes, *other.notes)
            return replace(other, query=whole, no_good_match=True, fallback=choice, notes=notes)
    return found


def _require_unchanged(generation: Generation) -> None:
    """Raise IndexMissing if another generation is to be searched meanwhile.

    A Milvus server that drops a collection during a search returns too little, but no error.
    """
    if searchable() != generation:
        msg = f"{generation.name} was replaced while it was searched"
        raise IndexMissing(msg)


def _scope(query: Query) -> Scope:
    scope = Scope(filters=parse(query.filters), user=query.user, request=query.request)
    if query.like is None:
        return scope
    references = [product for product in (query.like, query.stand_in) if product is not None]
    return replace(
        scope,
        exclude_products=[key for product in references for key in registry.keys_of(product)],
        exclude_digests=frozenset(one.digest for one in known_of_reference(query)) - {""},
    )


def check_admission(request: HttpRequest) -> None:
    """Raise Busy if a search would wait too long now, before a view does anything for it.

    Also if the request waited too long already, as the header `REQUEST_START_HEADER` says. Sends
    the signal `searched` with the error.
    """
    settings = get_settings()
    most = settings.MAX_WAIT_SECONDS
    try:
        if _waited(request.headers.get(settings.REQUEST_START_HEADER or "-", "")) > most:
            raise Crowded(_places.expected_wait(capacity=settings.MAX_CONCURRENT_SEARCHES))
        _places.check(capacity=settings.MAX_CONCURRENT_SEARCHES, most_seconds=most)
    except Crowded as error:
        busy = too_crowded(error)
        searched.send_robust(sender=None, request="search", answer=None, error=busy)
        raise busy from error


def _waited(start: str) -> float:
    """Return the seconds since a time such as "t=1700000000.123"; 0 if it says nothing sensible.

    Proxies write seconds, milliseconds or microseconds.
    """
    try:
        began = float(start.removeprefix("t="))
    except ValueError:
        return 0.0
    while _NO_SECONDS < began < math.inf:
        began /= 1000
    waited = time.time() - began
    return waited if 0 < waited < _LONGEST_QUEUE else 0.0


@contextmanager
def _place(query: Query) -> Iterator[None]:
    """Occupy one of `MAX_CONCURRENT_SEARCHES` places.

    Raises Busy at once if the wait would be longer than `MAX_WAIT_SECONDS`.
    """
    settings = get_settings()
    place = _places.admit(
        "model" if needs_model(query) else "index",
        capacity=settings.MAX_CONCURRENT_SEARCHES,
        most_seconds=settings.MAX_WAIT_SECONDS,
    )
    with ExitStack() as stack:
        try:
            stack.enter_context(place)
        except Crowded as error:
            raise too_crowded(error) from error
        yield


class Clock:
    """Measure stages: `with clock("embed"): ...`."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.milliseconds[stage] = round((time.perf_counter() - start) * 1000, 1)


def with_signal(request: Literal["search", "late"], work: Callable[[], Answer]) -> Answer:
    """Return what `work` returns, and send `searched` with its answer or its error."""
    try:
        found = work()
    except Exception as error:
        searched.send_robust(sender=None, request=request, answer=None, error=error)
        raise
    searched.send_robust(sender=None, request=request, answer=found, error=None)
    return found
