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
from django.utils.translation import get_language, gettext

from mmsearch_app import images
from mmsearch_app.backends import get_embedder, get_reranker
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes import Match
from mmsearch_app.searching import cache
from mmsearch_app.searching.cache import canonical_jpeg, remember_bytes
from mmsearch_app.searching.filters import parse
from mmsearch_app.searching.query import Answer, Hit, InvalidQuery, Query
from mmsearch_app.searching.rerank import rerank as rerank_answer
from mmsearch_app.searching.rerank import reranker_fingerprint
from mmsearch_app.searching.retrieve import Wanted, hydrate
from mmsearch_app.searching.search import Clock, announced
from mmsearch_app.sources import entry_key, key_of, registry

__all__ = ["Expired", "Forged", "TicketError", "issue", "redeem", "rerank_late"]

_SALT = "mmsearch_app.searching.tickets"


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

    Where the cache is away the token will be too old at once. Raises ValueError for an answer
    that carries no query.
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
        picture=canonical_jpeg(query.image) if query.image else None,
        vector=query.vector.tobytes() if query.vector is not None else None,
        fingerprint=get_embedder().fingerprint,
        matches=tuple(_match(hit) for hit in answer.hits),
        more=answer.more,
    )
    name = secrets.token_urlsafe(16)
    cache.write_cache(_key(name), kept)
    return signing.dumps(name, salt=_SALT)


def redeem(token: str, *, user: Any = None) -> Query:
    """The question behind a token, its picture opened. Raises Expired or Forged."""
    return _query(_kept(_name(token)), user)


@announced("late")
def rerank_late(token: str, *, user: Any = None) -> Answer:
    """The answer behind a token in the reranker's order; the same at every call in one language.

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
                model = reranker_fingerprint(reranker)
                found = _ranked(f"{_key(name)}:{get_language()}:{model}" if model else "", found)
    return replace(found, timings=clock.milliseconds)


def _ranked(key: str, found: Answer) -> Answer:
    """In the order kept under the key, or else made now and kept; "" keeps nothing."""
    kept = cache.read_cache(key) if key else None
    if isinstance(kept, Answer):
        return _with_rows(kept, found)
    better = rerank_answer(found, refuse=True)
    if key and better.judged:
        bare = tuple(_bare(hit) for hit in better.hits)
        cache.write_cache(key, replace(better, hits=bare, query=None))
    return better


def _bare(hit: Hit) -> Any:
    """What is worth keeping of a hit: which row, and why."""
    return _match(hit).id, hit.reason


def _with_rows(ranked: Answer, found: Answer) -> Answer:
    """The kept order, with the rows as the shop shows them now: what was hidden when the order
    was made stands behind, what is hidden now takes its reason along."""
    rows = {_match(hit).id: hit for hit in found.hits}
    kept: Any = ranked.hits
    hits = [replace(rows.pop(key), reason=why) for key, why in kept if key in rows]
    shown = any(hit.reason == ranked.reason for hit in hits)
    reason = ranked.reason if shown else ""
    return replace(ranked, hits=(*hits, *rows.values()), query=found.query, reason=reason)


def _match(hit: Hit) -> Match:
    return Match(
        id=entry_key(hit.source, hit.image.pk),
        product=registry.get(hit.source).product_key(hit.product),
        source=hit.source,
        score=hit.score,
    )


def _query(kept: _Kept, user: Any) -> Query:
    like = None
    if kept.like:
        label, pk = kept.like
        like = apps.get_model(label)._base_manager.filter(pk=pk).first()
        if like is None:
            msg = gettext("The product that this search started from is gone.")
            raise Expired(msg)
    same_model = kept.fingerprint == get_embedder().fingerprint
    vector = np.frombuffer(kept.vector, dtype=np.float32) if kept.vector and same_model else None
    image = None
    if kept.picture:
        image = images.open_image(kept.picture, **get_settings().upload_caps)
        image = remember_bytes(image, kept.picture)
    return Query(**kept.query, like=like, image=image, vector=vector, user=user)


def _name(token: str) -> str:
    try:
        return str(signing.loads(token, salt=_SALT))
    except signing.BadSignature as error:
        msg = gettext("This link was not made by this shop.")
        raise Forged(msg) from error


def _kept(name: str) -> _Kept:
    kept = cache.read_cache(_key(name))
    if not isinstance(kept, _Kept):
        msg = gettext("This search is too old; please ask again.")
        raise Expired(msg)
    return kept


def _key(name: str) -> str:
    return f"mmsearch:ticket:2:{name}"
