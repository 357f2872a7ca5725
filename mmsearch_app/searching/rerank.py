"""Stage 3: a reranker, where one is configured, improves the order of the first hits."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from django.db import connections
from django.utils.translation import get_language, gettext, ngettext, override

from mmsearch_app import images
from mmsearch_app.backends import get_reranker
from mmsearch_app.conf import get_settings
from mmsearch_app.inference import Content
from mmsearch_app.rerankers import Ranking, Reranker, clean, fuse, fuse_scores, trust
from mmsearch_app.searching import cache
from mmsearch_app.searching.embed import query_content
from mmsearch_app.searching.guard import Busy, Resting, TooSlow, get_guard
from mmsearch_app.searching.query import Answer, Hit, Query
from mmsearch_app.sources import registry
from mmsearch_app.translation import in_english, write_number

__all__ = ["apply_known", "is_offered", "rerank", "reranker_fingerprint"]

log = logging.getLogger(__name__)


class UnusableReply(Exception):
    """The model answered, but judged no candidate; asking again may help."""


def is_offered(answer: Answer) -> bool:
    """Whether a better order than this one can be had: of a first page that no model judged."""
    query = answer.query
    asked = query is not None and query.offset == 0 and not answer.judged
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
        return _apply(_rank(reranker, answer, answer.query, first), answer, first)
    except Exception as error:
        if refuse and isinstance(error, Busy):
            raise
        return replace(answer, notes=(*answer.notes, _explain(error)))


def apply_known(answer: Answer) -> Answer:
    """With the better order where it was made before, else as it is: no model works."""
    reranker = get_reranker()
    if reranker is None or answer.query is None or not is_offered(answer):
        return answer
    first = answer.hits[: get_settings().RERANK_LIMIT]
    known = cache.find_ranking(
        cache.ranking_name(reranker_fingerprint(reranker), answer.query, first)
    )
    return answer if known is None else _apply(known, answer, first)


def reranker_fingerprint(reranker: Reranker) -> str:
    """Its fingerprint; "" where that cannot be told: its rankings are then kept nowhere."""
    try:
        return reranker.fingerprint
    except Exception:  # a shop's own may raise anything
        log.exception("The reranker's fingerprint cannot be told")
        return ""


def _rank(reranker: Reranker, answer: Answer, query: Query, hits: Sequence[Hit]) -> Ranking:
    seconds = get_settings().RERANK_TIMEOUT
    deadline = time.monotonic() + seconds
    name = cache.ranking_name(reranker_fingerprint(reranker), query, hits)
    known = cache.find_ranking(name)
    if known is not None:
        return known
    guard, key = get_guard(), name or secrets.token_hex()
    guard.check(key)
    # Here, not in the guard's thread: rows may load more from the request's connection.
    asked, candidates = _ask(query), _look(hits, deadline)
    fair = deadline - time.monotonic() >= seconds / 2
    ask = partial(reranker.rerank, asked, candidates)
    work = _work(ask, name, try_out=partial(_apply, answer=answer, first=hits))
    return guard.run(key, work, deadline=deadline, fair=fair)


def _work(
    ask: Callable[[], Ranking], name: str, *, try_out: Callable[[Ranking], Answer]
) -> Callable[[], Ranking]:
    """What runs in a thread of its own; a ranking that comes too late is kept all the same, one
    that cannot be applied is not."""
    language = get_language()

    def work() -> Ranking:
        try:
            known = cache.find_ranking(name)
            if known is not None:  # made by the call that ended just before this one began
                return known
            with override(language):
                ranking = ask()
                ranking = replace(
                    ranking, reason=clean(ranking.reason), caption=clean(ranking.caption)
                )
                if ranking.says_nothing:
                    msg = f"{ranking.repairs} repairs for {len(ranking.order)} candidates."
                    raise UnusableReply(msg)
                try_out(ranking)
            cache.keep_ranking(name, ranking)
            return ranking
        finally:
            connections.close_all()  # a cache or a shop's reranker may have opened one

    return work


def _look(hits: Sequence[Hit], deadline: float) -> list[Content]:
    """What the model sees of all hits. Raises TooSlow where the storage takes all the time."""
    seen: list[Content] = []
    for hit in hits:
        if time.monotonic() >= deadline:
            msg = f"After {len(seen)} of {len(hits)} pictures from the storage the time was up."
            raise TooSlow(msg)
        seen.append(_content(hit))
    return seen


def _apply(ranking: Ranking, answer: Answer, first: Sequence[Hit]) -> Answer:
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
    """What is to be known of a ranking, in the language that is active."""
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
    if isinstance(error, Busy):
        return gettext("Ordered by the index: the reranker is busy.")
    if isinstance(error, Resting):
        return gettext(
            "Ordered by the index: the reranker is left alone for a while, for it failed several "
            "times."
        )
    if isinstance(error, TooSlow):
        log.warning("The reranker is too slow: %s", error)
        seconds = write_number(get_settings().RERANK_TIMEOUT, "g")
        note = gettext("Ordered by the index: the reranker took longer than %(seconds)s seconds.")
        return note % {"seconds": seconds}
    log.error("The reranker failed", exc_info=error)
    note = gettext("Ordered by the index: the reranker failed (%(error)s).")
    return note % {"error": type(error).__name__}


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
        picture = images.open_image(file, **get_settings().stored_caps)
    except Exception as error:  # storages raise anything
        told = in_english(error)
        log.warning("The picture of %r cannot be read for the reranker: %s", hit.image, told)
        return Content(text=hit.title)
    return Content(image=picture, text=hit.title or None)
