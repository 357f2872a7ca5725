"""Stage 3: a reranker, where one is configured, improves the order of the first hits."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from django.db import connections

from mmsearch_app import images, rankings
from mmsearch_app.conf import get_guard, get_reranker, get_settings
from mmsearch_app.embedders.base import Content
from mmsearch_app.guard import Busy, Resting, TooSlow
from mmsearch_app.query import Answer, Hit, Query
from mmsearch_app.rerankers.base import Ranking, Reranker
from mmsearch_app.rerankers.fusion import fuse, fuse_scores, trust
from mmsearch_app.rerankers.parsing import clean
from mmsearch_app.sources import registry
from mmsearch_app.vectors import query_content

__all__ = ["is_offered", "recall", "rerank"]

log = logging.getLogger(__name__)


def is_offered(answer: Answer) -> bool:
    """Whether a better order than this one can be had: of a first page, by the index."""
    query = answer.query
    asked = query is not None and query.offset == 0 and answer.ranked_by == "index"
    return asked and len(answer.hits) > 1 and get_reranker() is not None


def rerank(answer: Answer, *, refuse: bool = False) -> Answer:
    """The same hits in a better order, fused with that of the index; never fewer or others.

    Whatever the reranker does, there is an answer in time: when it fails or takes longer than
    `RERANK_TIMEOUT`, the order of the index with a note that says why. Without a reranker the
    answer comes back as it is. With `refuse`, SearchUnavailable is raised where too many others
    wait already, so that the caller can come back.
    """
    reranker = get_reranker()
    if reranker is None or answer.query is None or not is_offered(answer):
        return answer
    first = answer.hits[: get_settings().RERANK_LIMIT]
    try:
        ranking = _rank(reranker, answer.query, first)
        return _apply(ranking, answer, first)
    except Exception as error:
        if refuse and isinstance(error, Busy):
            raise
        note = f"Ordered by the index: the reranker {_explain(error)}."
        return replace(answer, notes=(*answer.notes, note))


def recall(answer: Answer) -> Answer:
    """With the better order where it was made before, else as it is: no model works."""
    reranker = get_reranker()
    if reranker is None or answer.query is None or not is_offered(answer):
        return answer
    first = answer.hits[: get_settings().RERANK_LIMIT]
    known = rankings.recall(rankings.name(reranker.fingerprint, answer.query, first))
    return answer if known is None else _apply(known, answer, first)


def _rank(reranker: Reranker, query: Query, hits: Sequence[Hit]) -> Ranking:
    deadline = time.monotonic() + get_settings().RERANK_TIMEOUT
    name = rankings.name(reranker.fingerprint, query, hits)
    known = rankings.recall(name)
    if known is not None:
        return known
    guard, key = get_guard(), name or secrets.token_hex()
    guard.check(key)
    # Here, not in the guard's thread: rows may load more from the request's connection.
    asked, candidates = _ask(query), [_content(hit) for hit in hits]
    return guard.run(key, _work(reranker, name, asked, candidates), deadline=deadline)


def _work(
    reranker: Reranker, name: str, query: Content, candidates: Sequence[Content]
) -> Callable[[], Ranking]:
    """What runs in a thread of its own; a ranking that comes too late is kept all the same."""

    def work() -> Ranking:
        try:
            known = rankings.recall(name)
            if known is not None:  # made by the call that ended just before this one began
                return known
            ranking = reranker.rerank(query, candidates)
            if len(ranking.order) != len(candidates):
                msg = f"{len(ranking.order)} of {len(candidates)} candidates were ordered."
                raise ValueError(msg)
            ranking = replace(ranking, reason=clean(ranking.reason), caption=clean(ranking.caption))
            rankings.keep(name, ranking)
            return ranking
        finally:
            connections.close_all()  # a cache or a shop's reranker may have opened one

    return work


def _apply(ranking: Ranking, answer: Answer, first: Sequence[Hit]) -> Answer:
    settings = get_settings()
    weight = trust(settings.RERANK_WEIGHT, ranking.agreement)
    if settings.RERANK_FUSION == "scores" and ranking.grades is not None:
        order = fuse_scores([hit.score for hit in first], ranking.grades, weight=weight)
    else:
        order = fuse(ranking.order, weight=weight)
    better = [first[place] for place in order]
    if ranking.reason:
        top = first[ranking.order[0]]
        better = [replace(hit, reason=ranking.reason) if hit is top else hit for hit in better]
    notes = list(answer.notes)
    if ranking.repairs:
        notes.append(f"{ranking.repairs} repairs of the reranker's reply.")
    if ranking.agreement is not None and weight < settings.RERANK_WEIGHT:
        agreement = f"{ranking.agreement:.2f}"
        notes.append(f"The reranker agrees with itself by {agreement}: its weight is {weight:.2f}.")
    return replace(
        answer,
        hits=(*better, *answer.hits[len(first) :]),
        ranked_by="reranker",
        reason=ranking.reason,
        caption=ranking.caption,
        no_good_match=answer.no_good_match or ranking.no_good_match,
        notes=tuple(notes),
    )


def _explain(error: Exception) -> str:
    if isinstance(error, Busy):
        return "is busy"
    if isinstance(error, Resting):
        return "is left alone for a while, for it failed several times"
    if isinstance(error, TooSlow):
        log.warning("The reranker is too slow: %s", error)
        return f"took longer than {get_settings().RERANK_TIMEOUT:g} seconds"
    log.error("The reranker failed", exc_info=error)
    return f"failed ({type(error).__name__})"


def _ask(query: Query) -> Content:
    """What the model is told of the question, unwanted words included."""
    content = query_content(query)
    if not query.without:
        return content
    return replace(content, text=f"{content.text or ''} (without: {query.without})".strip())


def _content(hit: Hit) -> Content:
    """What the model sees of a hit; words alone where the picture cannot be read."""
    file = registry.get(hit.source).get_file(hit.image)
    if file is None:
        return Content(text=hit.title)
    try:
        picture = images.open_stored(file)
    except Exception as error:  # storages raise anything
        log.warning("The picture of %r cannot be read for the reranker: %s", hit.image, error)
        return Content(text=hit.title)
    return Content(image=picture, text=hit.title or None)
