"""Tickets: a signed token for a question already asked, so that it can be asked again.

Behind the token, Django's cache keeps the query (its picture as a small JPEG without metadata)
and what was found, for `RERANK_SECONDS`: for the next page, for other words with the same
picture, and for the late, better order. Query pictures are kept nowhere else.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from django.apps import apps
from django.core import signing
from django.core.cache import cache

from mmsearch_app import images
from mmsearch_app.clock import Clock
from mmsearch_app.conf import get_embedder, get_reranker, get_settings
from mmsearch_app.filters import parse
from mmsearch_app.indexes.base import Match
from mmsearch_app.ledger import key_of
from mmsearch_app.query import Answer, Hit, InvalidQuery, Query
from mmsearch_app.rankings import normalise, remember_bytes
from mmsearch_app.reranking import rerank as rerank_answer
from mmsearch_app.retrieval import Wanted, hydrate
from mmsearch_app.sources import product_key

__all__ = ["Expired", "Forged", "TicketError", "issue", "redeem", "rerank"]

_SALT = "mmsearch_app.tickets"


class TicketError(InvalidQuery):
    """The token does not stand for a question (any more)."""


class Expired(TicketError):
    """It was a good token, but its time is over."""


class Forged(TicketError):
    """It was never a token of this site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What the cache holds of an answer: plain data, no models."""

    query: dict[str, Any]
    like: tuple[str, str] | None
    picture: bytes | None
    vector: bytes | None
    fingerprint: str
    matches: tuple[Match, ...]
    more: bool


def issue(answer: Answer) -> str:
    """Keep the answer's query and the order of its hits; returns the token.

    Raises ValueError for an answer that carries no query.
    """
    query = answer.query
    if query is None:
        msg = "Only an answer that carries its query can be kept."
        raise ValueError(msg)
    kept = _Kept(
        query={
            "text": query.text,
            "without": query.without,
            "filters": dict(query.filters),
            "limit": query.limit,
            "offset": query.offset,
        },
        like=(query.like._meta.label, key_of(query.like.pk)) if query.like else None,
        picture=normalise(query.image) if query.image else None,
        vector=query.vector.tobytes() if query.vector is not None else None,
        fingerprint=get_embedder().fingerprint,
        matches=tuple(_match(hit) for hit in answer.hits),
        more=answer.more,
    )
    name = secrets.token_urlsafe(16)
    cache.set(_key(name), kept, get_settings().RERANK_SECONDS)
    return signing.dumps(name, salt=_SALT)


def redeem(token: str, *, user: Any = None) -> Query:
    """The question behind a token, its picture opened. Raises Expired or Forged."""
    return _query(_kept(_name(token)), user)


def rerank(token: str, *, user: Any = None) -> Answer:
    """The answer behind a token in the reranker's order; the same at every call.

    The work is done once and kept; without a reranker, and where it fails, the order is that
    of the index, with a note that says why. Raises Expired or Forged, and SearchUnavailable
    where too many others wait for the reranker.
    """
    clock = Clock()
    with clock("total"):
        name = _name(token)
        kept = _kept(name)
        query = _query(kept, user)
        with clock("hydrate"):
            hits = hydrate(kept.matches, Wanted(wishes=parse(query.filters), user=user))
        found = Answer(hits=tuple(hits), query=query, more=kept.more)
        reranker = get_reranker()
        if reranker is not None:
            with clock("rerank"):
                found = _ranked(f"{_key(name)}:{reranker.fingerprint}", found)
    return replace(found, timings=clock.milliseconds)


def _ranked(key: str, found: Answer) -> Answer:
    ranked: Answer | None = cache.get(key)
    if ranked is None:
        better = rerank_answer(found, refuse=True)
        ranked = replace(better, hits=tuple(_bare(hit) for hit in better.hits), query=None)
        if better.ranked_by == "reranker":
            cache.set(key, ranked, get_settings().RERANK_SECONDS)
    return _with_rows(ranked, found)


def _bare(hit: Hit) -> Any:
    """What is worth keeping of a hit: which row, and why."""
    return _match(hit).id, hit.reason


def _with_rows(ranked: Answer, found: Answer) -> Answer:
    """The kept order, with the rows as the shop shows them now."""
    rows = {_match(hit).id: hit for hit in found.hits}
    kept: Any = ranked.hits
    hits = tuple(replace(rows[key], reason=why) for key, why in kept if key in rows)
    return replace(ranked, hits=hits, query=found.query)


def _match(hit: Hit) -> Match:
    return Match(
        id=f"{hit.source}:{key_of(hit.image.pk)}",
        product=product_key(hit.product),
        source=hit.source,
        score=hit.score,
    )


def _query(kept: _Kept, user: Any) -> Query:
    like = None
    if kept.like:
        label, pk = kept.like
        like = apps.get_model(label)._base_manager.filter(pk=pk).first()
        if like is None:
            msg = "The product that this search started from is gone."
            raise Expired(msg)
    same_model = kept.fingerprint == get_embedder().fingerprint
    vector = np.frombuffer(kept.vector, dtype=np.float32) if kept.vector and same_model else None
    image = None
    if kept.picture:
        image = remember_bytes(images.open_image(kept.picture), kept.picture)
    return Query(**kept.query, like=like, image=image, vector=vector, user=user)


def _name(token: str) -> str:
    try:
        return str(signing.loads(token, salt=_SALT))
    except signing.BadSignature as error:
        msg = "This link was not made by this shop."
        raise Forged(msg) from error


def _kept(name: str) -> _Kept:
    kept: _Kept | None = cache.get(_key(name))
    if kept is None:
        msg = "This search is too old; please ask again."
        raise Expired(msg)
    return kept


def _key(name: str) -> str:
    return f"mmsearch:ticket:{name}"
