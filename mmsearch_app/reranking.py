"""Stage 3: a reranker, where one is configured, improves the order of the first hits."""

from __future__ import annotations

import logging
from dataclasses import replace

from mmsearch_app import images
from mmsearch_app.conf import get_reranker, get_settings
from mmsearch_app.embedders.base import Content
from mmsearch_app.query import Answer, Hit
from mmsearch_app.rerankers.base import Ranking, Reranker
from mmsearch_app.rerankers.fusion import fuse
from mmsearch_app.sources import registry
from mmsearch_app.vectors import query_content

__all__ = ["rerank"]

log = logging.getLogger(__name__)


def rerank(answer: Answer) -> Answer:
    """The same hits in a better order, fused with that of the index; never fewer or others.

    Whatever the reranker does, there is an answer: when it fails, the order of the index with
    a note that says so. Without a reranker the answer comes back as it is.
    """
    reranker = get_reranker()
    if reranker is None or len(answer.hits) < 2 or answer.query is None:
        return answer
    first = answer.hits[: get_settings().RERANK_LIMIT]
    try:
        ranking = _ask(reranker, answer, first)
    except Exception as error:
        log.exception("The reranker failed")
        note = f"Ordered by the index: the reranker failed ({type(error).__name__})."
        return replace(answer, notes=(*answer.notes, note))
    order = fuse(ranking.order, weight=get_settings().RERANK_WEIGHT)
    better = [first[place] for place in order]
    if ranking.reason:
        top = ranking.order[0]
        better = [replace(h, reason=ranking.reason) if h is first[top] else h for h in better]
    notes = (f"{ranking.repairs} repairs of the reranker's reply.",) if ranking.repairs else ()
    return replace(
        answer,
        hits=(*better, *answer.hits[len(first) :]),
        ranked_by="reranker",
        reason=ranking.reason,
        caption=ranking.caption,
        notes=answer.notes + notes,
    )


def _ask(reranker: Reranker, answer: Answer, hits: tuple[Hit, ...]) -> Ranking:
    assert answer.query is not None  # noqa: S101 - for the type checker
    ranking = reranker.rerank(query_content(answer.query), [_content(hit) for hit in hits])
    if len(ranking.order) != len(hits):
        msg = f"{type(reranker).__name__} ordered {len(ranking.order)} of {len(hits)} candidates"
        raise ValueError(msg)
    return ranking


def _content(hit: Hit) -> Content:
    """What the model sees of a hit; words alone where the picture cannot be read."""
    settings = get_settings()
    file = registry.get(hit.source).get_file(hit.image)
    if file is None:
        return Content(text=hit.title)
    try:
        data = images.read_bytes(file, max_bytes=settings.MAX_SOURCE_BYTES)
        picture = images.open_image(
            data, max_bytes=settings.MAX_SOURCE_BYTES, max_pixels=settings.MAX_IMAGE_PIXELS
        )
    except Exception as error:  # storages raise anything
        log.warning("The picture of %r cannot be read for the reranker: %s", hit.image, error)
        return Content(text=hit.title)
    return Content(image=picture, text=hit.title or None)
