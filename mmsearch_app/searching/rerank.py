"""Let a reranker, if one is configured, improve the order of the first hits."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from django.db import connections
from django.utils.translation import get_language, gettext, ngettext, override

from mmsearch_app.backends import get_reranker
from mmsearch_app.conf import get_settings
from mmsearch_app.inference import Content
from mmsearch_app.rerankers import Ranking, Reranker, clean, fuse, fuse_scores, trust
from mmsearch_app.searching import cache
from mmsearch_app.searching.embed import query_content, read_image
from mmsearch_app.searching.guard import Resting, TooSlow, get_guard
from mmsearch_app.searching.query import Answer, Busy, Hit, Query
from mmsearch_app.sources import registry
from mmsearch_app.translation import write_number
from mmsearch_app.warming import loaded, model_state

log = logging.getLogger(__name__)


class UnusableReply(Exception):
    """The model replied, but judged no candidate; asking again may help."""


def is_offered(answer: Answer) -> bool:
    """Whether a reranker could improve the answer: a first page of the hits, not judged yet."""
    query = answer.query
    asked = query is not None and query.offset == 0 and not answer.judged and not answer.fallback
    return asked and len(answer.hits) > 1 and get_reranker() is not None


def rerank(answer: Answer, *, raise_if_busy: bool = False) -> Answer:
    """Return the same hits in a better order, fused with the order of the index.

    If the reranker fails or takes longer than `RERANK_TIMEOUT`, the hits keep the order of the
    index and a note says why. Without a reranker the answer is returned as it is. With
    `raise_if_busy`, Busy is raised if the reranker's queue is full, so that the caller can ask
    for a retry.
    """
    reranker = get_reranker()
    if reranker is None or answer.query is None or not is_offered(answer):
        return answer
    first = answer.hits[: get_settings().RERANK_LIMIT]
    try:
        return _apply(_rank(reranker, answer, answer.query, first), answer, first)
    except Exception as error:
        if raise_if_busy and isinstance(error, Busy):
            raise
        return replace(answer, notes=(*answer.notes, _explain(error)))


def apply_known(answer: Answer) -> Answer:
    """Apply a ranking made earlier, if the cache has one; no model runs."""
    reranker = get_reranker()
    if reranker is None or answer.query is None or not is_offered(answer):
        return answer
    first = answer.hits[: get_settings().RERANK_LIMIT]
    name = cache.ranking_name(reranker_fingerprint(reranker), answer.query, first)
    known = cache.find_ranking(name)
    return answer if known is None else _apply(known, answer, first)


def reranker_fingerprint(reranker: Reranker) -> str:
    """Return its fingerprint, or "" if reading it fails: its rankings are then not cached."""
    try:
        return reranker.fingerprint
    except Exception:  # a shop's own reranker may raise anything
        log.exception("The reranker's fingerprint cannot be read")
        return ""


def _rank(reranker: Reranker, answer: Answer, query: Query, hits: Sequence[Hit]) -> Ranking:
    """Return the ranking of the hits: from the cache, or from the reranker behind the guard."""
    seconds = get_settings().RERANK_TIMEOUT
    deadline = time.monotonic() + seconds
    name = cache.ranking_name(reranker_fingerprint(reranker), query, hits)
    known = cache.find_ranking(name)
    if known is not None:
        return known
    _require_loaded()
    guard, key = get_guard(), name or secrets.token_hex()
    guard.check(key)
    # Rows may load more from this thread's database connection, so the contents are made here
    # rather than in the guard's thread.
    asked, candidates = _describe_query(query), _describe_hits(hits, deadline)
    enough_time = deadline - time.monotonic() >= seconds / 2
    ask = partial(reranker.rerank, asked, candidates)
    work = _work(ask, name, try_out=partial(_apply, answer=answer, first=hits))
    return guard.run(key, work, deadline=deadline, count_failure=enough_time)


def _require_loaded() -> None:
    """Raise Busy while the reranker is being loaded, Resting if it could not be."""
    model = model_state("reranker")
    if model.state == "loading":
        msg = gettext("The search is starting; please try again in a moment.")
        raise Busy(msg, retry_after=model.retry_after)
    if model.retry_after:
        msg = "The reranker cannot be loaded."
        raise Resting(msg)


def _work(
    ask: Callable[[], Ranking], name: str, *, try_out: Callable[[Ranking], Answer]
) -> Callable[[], Ranking]:
    """Return the function that the guard runs in its own thread.

    It keeps the ranking in the cache even after the deadline, but not one that cannot be
    applied.
    """
    language = get_language()

    def work() -> Ranking:
        try:
            known = cache.find_ranking(name)
            if known is not None:  # another call with this key ended just before this one began
                return known
            with override(language):
                ranking = _cleaned(ask())
                try_out(ranking)
            loaded("reranker")
            cache.keep_ranking(name, ranking)
            return ranking
        finally:
            connections.close_all()  # a cache or a shop's reranker may have opened one

    return work


def _cleaned(ranking: Ranking) -> Ranking:
    """Return it with clean texts. Raises UnusableReply if the model judged no candidate."""
    if ranking.says_nothing:
        msg = f"{ranking.repairs} repairs for {len(ranking.order)} candidates."
        raise UnusableReply(msg)
    return replace(ranking, reason=clean(ranking.reason), caption=clean(ranking.caption))


def _describe_query(query: Query) -> Content:
    """Return what the model is shown of the query, including the unwanted words."""
    content = query_content(query)
    if not query.without:
        return content
    return replace(content, text=f"{content.text or ''} (without: {query.without})".strip())


def _describe_hits(hits: Sequence[Hit], deadline: float) -> list[Content]:
    """Return what the model is shown of the hits.

    Raises TooSlow if reading the images from the storage takes until the deadline.
    """
    contents: list[Content] = []
    for hit in hits:
        if time.monotonic() >= deadline:
            msg = f"Only {len(contents)} of {len(hits)} images could be read from the storage."
            raise TooSlow(msg)
        contents.append(_describe_hit(hit))
    return contents


def _describe_hit(hit: Hit) -> Content:
    image = read_image(registry.get(hit.source), hit.image)
    if image is None:
        return Content(text=hit.title)
    return Content(image=image, text=hit.title or None)


def _apply(ranking: Ranking, answer: Answer, first: Sequence[Hit]) -> Answer:
    """Return the answer with its `first` hits in the fused order.

    Raises ValueError if the ranking is not one of that many candidates.
    """
    if len(ranking.order) != len(first):
        msg = f"{len(ranking.order)} of {len(first)} candidates were ordered."
        raise ValueError(msg)
    settings = get_settings()
    weight = trust(settings.RERANK_WEIGHT, ranking.agreement)
    if settings.RERANK_FUSION == "scores" and ranking.grades is not None:
        order = fuse_scores([hit.score for hit in first], ranking.grades, weight=weight)
    else:
        order = fuse(ranking.order, weight=weight)
    better = [first[place] for place in order]
    counts = weight > 0
    if ranking.reason:
        top = first[ranking.order[0]]
        better = [replace(hit, reason=ranking.reason) if hit is top else hit for hit in better]
    return replace(
        answer,
        hits=(*better, *answer.hits[len(first) :]),
        ranked_by="reranker" if counts else "index",
        judged=True,
        reason=ranking.reason if counts else "",
        caption=ranking.caption,
        no_good_match=answer.no_good_match or (counts and ranking.no_good_match),
        notes=(*answer.notes, *_remark(ranking, weight)),
    )


def _remark(ranking: Ranking, weight: float) -> Iterator[str]:
    """Yield notes about a ranking, in the active language."""
    if ranking.repairs:
        note = ngettext(
            "%(count)d repair of the reranker's reply.",
            "%(count)d repairs of the reranker's reply.",
            ranking.repairs,
        )
        yield note % {"count": ranking.repairs}
    if ranking.agreement is not None and weight < get_settings().RERANK_WEIGHT:
        shares = {"agreement": ranking.agreement, "weight": weight}
        note = gettext(
            "The reranker agrees with itself by %(agreement)s: its weight is %(weight)s."
        )
        yield note % {name: write_number(share, ".2f") for name, share in shares.items()}


def _explain(error: Exception) -> str:
    """Return the note that says why the order is that of the index; log what is a fault."""
    if isinstance(error, Busy):
        return gettext("Ordered by the index: the reranker is busy.")
    if isinstance(error, Resting):
        return gettext("Ordered by the index: the reranker is paused after several failures.")
    if isinstance(error, TooSlow):
        log.warning("The reranker is too slow: %s", error)
        seconds = write_number(get_settings().RERANK_TIMEOUT, "g")
        note = gettext("Ordered by the index: the reranker took longer than %(seconds)s seconds.")
        return note % {"seconds": seconds}
    log.error("The reranker failed", exc_info=error)
    note = gettext("Ordered by the index: the reranker failed (%(error)s).")
    return note % {"error": type(error).__name__}
