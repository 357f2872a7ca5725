"""Rankings already made, kept by content: the same question of the same pictures costs nothing."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.utils.translation import get_language

from mmsearch_app import images
from mmsearch_app.conf import get_settings
from mmsearch_app.models import Entry
from mmsearch_app.rerankers import Ranking
from mmsearch_app.searching.query import Hit, Query
from mmsearch_app.sources import key_of, registry

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmsearch_app.searching.query import Hit

from typing import TYPE_CHECKING

__all__ = [
    "canonical_jpeg",
    "digests_by_row",
    "digests_of",
    "digests_of_hits",
    "find_ranking",
    "keep_ranking",
    "ranking_name",
    "read_cache",
    "remember_bytes",
    "write_cache",
]

log = logging.getLogger(__name__)


def write_cache(key: str, value: Any) -> None:
    """Keep a value as long as the late rerank may be asked for; never raises."""
    try:
        cache.set(key, value, get_settings().RERANK_SECONDS)
    except Exception:  # caches raise anything
        log.exception("The cache cannot be written")


def read_cache(key: str) -> Any:
    """What was kept under the key, or None; never raises. Whoever asks checks what it is."""
    try:
        return cache.get(key)
    except Exception:  # also what an older release has kept
        log.exception("The cache cannot be read")
        return None


def digests_of(product: Any) -> frozenset[str]:
    """SHA-256 of the product's own pictures, which other products may share."""
    found: set[str] = set()
    for source, rows in registry.showing(product):
        keys = [key_of(pk) for pk in rows.values_list("pk", flat=True)]
        entries = Entry.objects.filter(source=source.name, object_pk__in=keys)
        found.update(entries.exclude(digest="").values_list("digest", flat=True))
    return frozenset(found)


def digests_by_row(product: Any) -> list[tuple[str, str, str]]:
    """Source, key and SHA-256 ("" where not known) of the product's own pictures, in order."""
    found: list[tuple[str, str, str]] = []
    for source, rows in registry.showing(product):
        keys = [key_of(pk) for pk in rows.values_list("pk", flat=True)]
        entries = Entry.objects.filter(source=source.name, object_pk__in=keys)
        known = dict(entries.values_list("object_pk", "digest"))
        found += [(source.name, key, known.get(key, "")) for key in keys]
    return found


def digests_of_hits(hits: Sequence[Hit]) -> list[str]:
    """SHA-256 of each hit's picture, "" where it is not known; one query a source."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for hit in hits:
        wanted[hit.source].append(key_of(hit.image.pk))
    known: dict[tuple[str, str], str] = {}
    for source, keys in wanted.items():
        entries = Entry.objects.filter(source=source, object_pk__in=keys)
        for key, digest in entries.values_list("object_pk", "digest"):
            known[source, key] = digest
    return [known.get((hit.source, key_of(hit.image.pk)), "") for hit in hits]


_BYTES = "mmsearch_jpeg"


def ranking_name(fingerprint: str, query: Query, hits: Sequence[Hit]) -> str:
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


def find_ranking(name: str) -> Ranking | None:
    """The ranking kept under a name, or None; a cache that is away knows none."""
    kept = read_cache(_ranking_key(name)) if name else None
    return kept if isinstance(kept, Ranking) else None


def keep_ranking(name: str, ranking: Ranking) -> None:
    """Keep a ranking as long as the late rerank may be asked for; its caption is personal."""
    if name:
        write_cache(_ranking_key(name), ranking)


def canonical_jpeg(image: Image) -> bytes:
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
        return ["image", images.digest(canonical_jpeg(query.image))]
    if query.like is not None:
        return ["like", query.like._meta.label, key_of(query.like.pk), digests_by_row(query.like)]
    return []


def _ranking_key(name: str) -> str:
    return f"mmsearch:ranking:1:{name}"
