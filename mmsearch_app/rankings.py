"""Rankings already made, kept by content: the same question of the same pictures costs nothing."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.core.cache import cache

from mmsearch_app import images
from mmsearch_app.conf import get_settings
from mmsearch_app.digests import digests_of, digests_of_hits
from mmsearch_app.ledger import key_of
from mmsearch_app.query import Hit, Query
from mmsearch_app.rerankers.base import Ranking

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["keep", "name", "normalise", "recall", "remember_bytes"]

log = logging.getLogger(__name__)
_BYTES = "mmsearch_jpeg"


def name(fingerprint: str, query: Query, hits: Sequence[Hit]) -> str:
    """One name for one question to one model; "" where a candidate's picture is not known.

    Made of the bytes of the query's picture and of the candidates', of all words, and of the
    reranker's fingerprint. Makes a query a source and opens no candidate's picture.
    """
    digests = digests_of_hits(hits)
    if not all(digests):
        return ""
    candidates = [
        (hit.source, key_of(hit.image.pk), digest, hit.title)
        for hit, digest in zip(hits, digests, strict=True)
    ]
    question = [fingerprint, query.text, query.without, _name_picture(query), candidates]
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()


def recall(name: str) -> Ranking | None:
    """The ranking kept under a name, or None; a cache that is away knows none."""
    if not name:
        return None
    try:
        kept = cache.get(_key(name))
    except Exception:
        log.exception("The cache cannot be read")
        return None
    return kept if isinstance(kept, Ranking) else None


def keep(name: str, ranking: Ranking) -> None:
    """Keep a ranking as long as the late rerank may be asked for; its caption is personal."""
    if not name:
        return
    try:
        cache.set(_key(name), ranking, get_settings().RERANK_SECONDS)
    except Exception:
        log.exception("The cache cannot be written")


def normalise(image: Image) -> bytes:
    """The one JPEG that stands for a query's picture, however often it goes to and fro."""
    kept = image.info.get(_BYTES)
    return kept if isinstance(kept, bytes) else images.encode_jpeg(image)


def remember_bytes(image: Image, jpeg: bytes) -> Image:
    """The picture, marked as opened from what `normalise` made."""
    image.info[_BYTES] = jpeg
    return image


def _name_picture(query: Query) -> list[str]:
    if query.image is not None:
        return ["image", images.digest(normalise(query.image))]
    if query.like is not None:
        return ["like", query.like._meta.label, key_of(query.like.pk), *_sorted(query)]
    return []


def _sorted(query: Query) -> list[str]:
    return sorted(digests_of(query.like))


def _key(name: str) -> str:
    return f"mmsearch:ranking:1:{name}"
