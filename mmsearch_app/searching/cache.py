"""Keep rankings and tickets in Django's cache.

The name of a ranking is a hash of everything that the reranker was shown: the same question
about the same images is judged once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.utils.translation import get_language

from mmsearch_app import images
from mmsearch_app.conf import get_settings
from mmsearch_app.rerankers import Ranking
from mmsearch_app.searching.query import Hit, Query
from mmsearch_app.searching.reference import Known, known_files, known_of_reference
from mmsearch_app.sources import key_of, registry

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
_JPEG = "mmsearch_jpeg"
"""Key of `Image.info` under which an image opened from a canonical JPEG carries its bytes."""


def write_cache(key: str, value: Any) -> None:
    """Keep a value for `RERANK_SECONDS`; a cache that fails is logged and raises nothing."""
    try:
        cache.set(key, value, get_settings().RERANK_SECONDS)
    except Exception:  # caches raise anything
        log.exception("The cache cannot be written")


def read_cache(key: str) -> Any:
    """Return the value kept under a key, or None; a cache that fails is logged.

    Callers check the type: an older release may have written the value.
    """
    try:
        return cache.get(key)
    except Exception:  # caches raise anything, and so does a value of a class that is gone
        log.exception("The cache cannot be read")
        return None


def find_ranking(name: str) -> Ranking | None:
    """Return the ranking kept under a name, or None."""
    kept = read_cache(_ranking_key(name)) if name else None
    return kept if isinstance(kept, Ranking) else None


def keep_ranking(name: str, ranking: Ranking) -> None:
    """Keep a ranking for `RERANK_SECONDS`, not longer: its caption describes a visitor's image."""
    if name:
        write_cache(_ranking_key(name), ranking)


def _ranking_key(name: str) -> str:
    return f"mmsearch:ranking:1:{name}"


def ranking_name(fingerprint: str, query: Query, hits: Sequence[Hit]) -> str:
    """Return a name for the ranking of these hits for this query by one reranker.

    It is a hash of the reranker's fingerprint, the active language (in which reasons are
    written), the words, and the bytes of the query's and the hits' images. Returns "" if the
    fingerprint or the digest of a hit's image is unknown. Runs one query per source and opens
    no stored file.
    """
    if not fingerprint:
        return ""
    found = known_files([(registry.get(hit.source), hit.image) for hit in hits])
    if not all(one.digest for one in found):
        return ""
    candidates = [(*_identify(one), hit.title) for one, hit in zip(found, hits, strict=True)]
    asked = [get_language(), query.text, query.without, _identify_image(query)]
    question = json.dumps([fingerprint, *asked, candidates])
    return hashlib.sha256(question.encode()).hexdigest()


def _identify_image(query: Query) -> list[object]:
    if query.image is not None:
        return ["image", images.digest(canonical_jpeg(query.image))]
    if query.like is not None:
        # All pictures in their order: the model is shown the first that can be read.
        shown = [_identify(one) for one in known_of_reference(query)]
        return ["like", query.like._meta.label, key_of(query.like.pk), shown]
    return []


def _identify(picture: Known) -> tuple[str, str, str]:
    return picture.source, picture.key, picture.digest


def canonical_jpeg(image: Image) -> bytes:
    """Return the JPEG that stands for a query's image; it is made once, and then kept with it.

    It stays the same when the image is kept and opened again, so that it can be hashed.
    """
    kept = image.info.get(_JPEG)
    if isinstance(kept, bytes):
        return kept
    jpeg = images.encode_jpeg(image)
    remember_jpeg(image, jpeg)
    return jpeg


def remember_jpeg(image: Image, jpeg: bytes) -> Image:
    """Mark an image as opened from its canonical JPEG, and return it."""
    image.info[_JPEG] = jpeg
    return image
