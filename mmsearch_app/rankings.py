"""Rankings already made, kept by content: the same question of the same pictures costs nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.utils.translation import get_language

from mmsearch_app import images, keeping
from mmsearch_app.digests import digests_by_row, digests_of_hits
from mmsearch_app.ledger import key_of
from mmsearch_app.query import Hit, Query
from mmsearch_app.rerankers.base import Ranking

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["keep", "name", "normalise", "recall", "remember_bytes"]

_BYTES = "mmsearch_jpeg"


def name(fingerprint: str, query: Query, hits: Sequence[Hit]) -> str:
    """One name for one question to one model; "" where a candidate's picture is not known, or
    the model, which has no fingerprint then.

    Made of the bytes of the query's picture and of the candidates', of all words, of the active
    language, in which reasons are given, and of the reranker's fingerprint. Makes a query a
    source and opens no candidate's picture.
    """
    digests = digests_of_hits(hits) if fingerprint else [""]
    if not all(digests):
        return ""
    candidates = [
        (hit.source, key_of(hit.image.pk), digest, hit.title)
        for hit, digest in zip(hits, digests, strict=True)
    ]
    asked = [get_language(), query.text, query.without, _name_picture(query)]
    question = json.dumps([fingerprint, *asked, candidates])
    return hashlib.sha256(question.encode()).hexdigest()


def recall(name: str) -> Ranking | None:
    """The ranking kept under a name, or None; a cache that is away knows none."""
    kept = keeping.recall(_key(name)) if name else None
    return kept if isinstance(kept, Ranking) else None


def keep(name: str, ranking: Ranking) -> None:
    """Keep a ranking as long as the late rerank may be asked for; its caption is personal."""
    if name:
        keeping.keep(_key(name), ranking)


def normalise(image: Image) -> bytes:
    """The one JPEG that stands for a query's picture, however often it goes to and fro."""
    kept = image.info.get(_BYTES)
    return kept if isinstance(kept, bytes) else images.encode_jpeg(image)


def remember_bytes(image: Image, jpeg: bytes) -> Image:
    """The picture, marked as opened from what `normalise` made."""
    image.info[_BYTES] = jpeg
    return image


def _name_picture(query: Query) -> list[object]:
    """Of a product all rows in their order: the model sees the first that can be read."""
    if query.image is not None:
        return ["image", images.digest(normalise(query.image))]
    if query.like is not None:
        return ["like", query.like._meta.label, key_of(query.like.pk), digests_by_row(query.like)]
    return []


def _key(name: str) -> str:
    return f"mmsearch:ranking:1:{name}"
