"""Tickets: a signed token for a query, so that it can be asked again.

Behind the token, Django's cache keeps the query (its image as a small JPEG without metadata) and
what was found, for `RERANK_SECONDS`: for the next page, for other words with the same image, and
for the late, better order. Query images are stored nowhere else.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.apps import apps
from django.core import signing
from django.db.models import Model
from django.utils.translation import get_language, gettext

from mmsearch_app.backends import get_embedder, get_reranker
from mmsearch_app.searching import cache
from mmsearch_app.searching.build import open_upload
from mmsearch_app.searching.filters import parse
from mmsearch_app.searching.query import Answer, InvalidQuery, Query
from mmsearch_app.searching.reference import Pictures, pictures_for, pictures_of_reference
from mmsearch_app.searching.rerank import rerank, reranker_fingerprint
from mmsearch_app.searching.retrieve import Scope, hydrate
from mmsearch_app.searching.search import Clock, with_signal
from mmsearch_app.sources import key_of

_SALT = "mmsearch_app.searching.tickets"


class TicketError(InvalidQuery):
    """The token stands for no query."""


class Expired(TicketError):
    """The token was valid, but its query is no longer kept."""


class Forged(TicketError):
    """The token was not signed by this site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A query and what it found as the cache keeps them: plain data, no models."""

    query: Query
    """The query without its user, its request, its product and its image."""
    like: tuple[str, str] | None
    """Model label and primary key of the product."""
    pictured: bool
    """Whether the product or a stand-in had a picture that the visitor could see."""
    picture: bytes | None
    """The canonical JPEG of the query's image."""
    fingerprint: str
    """The embedder that made the query's vector."""
    scores: Mapping[str, float]
    """Of the hits by the id of their image in the index, best first."""
    more: bool
    no_good_match: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptOrder:
    """A late order as the cache keeps it: plain data, no models."""

    reasons: Mapping[str, str]
    """Id of each hit's image in the index to the hit's reason, best hit first."""
    answer: Answer
    """The answer without its hits and its query."""


def issue(answer: Answer) -> str:
    """Keep the answer's query and the order of its hits, and return the token.

    If the cache is unavailable, the token is expired from the start. Raises ValueError if the
    answer has no query.
    """
    query = answer.query
    if query is None:
        msg = "Only an answer that carries its query can be kept."
        raise ValueError(msg)
    kept = _Kept(
        query=_strip(query),
        like=(query.like._meta.label, key_of(query.like.pk)) if query.like else None,
        pictured=bool(query.like) and bool(pictures_of_reference(query)),
        picture=cache.canonical_jpeg(query.image) if query.image else None,
        fingerprint=get_embedder().fingerprint,
        scores={hit.id: hit.score for hit in answer.hits},
        more=answer.more,
        no_good_match=answer.no_good_match,
    )
    name = secrets.token_urlsafe(16)
    cache.write_cache(_key(name), kept)
    return signing.dumps(name, salt=_SALT)


def _strip(query: Query) -> Query:
    """Return the query without what is kept beside it, or belongs to the visitor."""
    return replace(
        query,
        user=None,
        request=None,
        like=None,
        stand_in=None,
        image=None,
        pictures=None,
        rerank=True,
    )


def redeem(token: str, *, user: Any = None, request: Any = None) -> Query:
    """Return the query behind a token, with its image opened. Raises Expired or Forged."""
    return _query(_read(_name(token)), user, request)


def rerank_late(token: str, *, user: Any = None, request: Any = None) -> Answer:
    """Return the answer behind a token in the reranker's order, and send the signal `searched`.

    The order is made once per language and kept. Without a reranker, or if it fails, the hits
    are in the order of the index and a note says why. Raises Expired or Forged, and Busy if the
    reranker's queue is full.
    """
    return with_signal("late", lambda: _rerank_late(token, user, request))


def _rerank_late(token: str, user: Any, request: Any) -> Answer:
    clock = Clock()
    with clock("total"):
        name = _name(token)
        kept = _read(name)
        query = _query(kept, user, request)
        with clock("hydrate"):
            scope = Scope(filters=parse(query.filters), user=user, request=request)
            hits = hydrate(kept.scores, scope)
        found = Answer(
            hits=tuple(hits), query=query, more=kept.more, no_good_match=kept.no_good_match
        )
        reranker = get_reranker()
        if reranker is not None:
            with clock("rerank"):
                model = reranker_fingerprint(reranker)
                key = f"{_key(name)}:{get_language()}:{model}" if model else ""
                found = _rerank_once(key, found)
    return replace(found, timings=clock.milliseconds)


def _rerank_once(key: str, found: Answer) -> Answer:
    """Apply the order kept under the key, or make one and keep it; with the key "" keep none."""
    kept = cache.read_cache(key) if key else None
    if isinstance(kept, _KeptOrder):
        return _restore(kept, found)
    better = rerank(found, raise_if_busy=True)
    if key and better.judged:
        reasons = {hit.id: hit.reason for hit in better.hits}
        bare = replace(better, hits=(), query=None)
        cache.write_cache(key, _KeptOrder(reasons=reasons, answer=bare))
    return better


def _restore(order: _KeptOrder, found: Answer) -> Answer:
    """Return the kept answer with the hits that the shop shows now.

    Hits that were hidden when the order was made come last. If any hit of the order is hidden
    now, or from this visitor, no text of the model is shown: it may name that product.
    """
    rows = {hit.id: hit for hit in found.hits}
    ordered = [replace(rows[key], reason=why) for key, why in order.reasons.items() if key in rows]
    others = [hit for key, hit in rows.items() if key not in order.reasons]
    answer = replace(order.answer, hits=(*ordered, *others), query=found.query)
    return answer if len(ordered) == len(order.reasons) else _without_texts(answer)


def _without_texts(answer: Answer) -> Answer:
    hits = tuple(replace(hit, reason="") for hit in answer.hits)
    return replace(answer, hits=hits, reason="", caption="")


def _query(kept: _Kept, user: Any, request: Any) -> Query:
    like, pictures = _find_reference(kept, user, request) if kept.like else (None, None)
    pictured = pictures.product if pictures else None
    same_model = kept.fingerprint == get_embedder().fingerprint
    vector = kept.query.vector if same_model else None
    image = None
    if kept.picture:
        image = open_upload(kept.picture)
        image = cache.remember_jpeg(image, kept.picture)
    return replace(
        kept.query,
        user=user,
        request=request,
        like=like,
        stand_in=None if pictured == like else pictured,
        image=image,
        vector=vector,
        pictures=pictures,
    )


def _find_reference(kept: _Kept, user: Any, request: Any) -> tuple[Model, Pictures | None]:
    """Return the kept product and its pictures. Raises Expired if this visitor may not see it."""
    label, pk = kept.like or ("", "")
    like = apps.get_model(label)._base_manager.filter(pk=pk).first()
    pictures = pictures_for(like, user=user, request=request) if like else None
    if like is None or (kept.pictured and pictures is None):
        msg = gettext("The product that this search started from is no longer available.")
        raise Expired(msg)
    return like, pictures


def _name(token: str) -> str:
    try:
        return str(signing.loads(token, salt=_SALT))
    except signing.BadSignature as error:
        msg = gettext("This link is not valid.")
        raise Forged(msg) from error


def _read(name: str) -> _Kept:
    kept = cache.read_cache(_key(name))
    if not isinstance(kept, _Kept):
        msg = gettext("This search has expired; please search again.")
        raise Expired(msg)
    return kept


def _key(name: str) -> str:
    return f"mmsearch:ticket:4:{name}"
