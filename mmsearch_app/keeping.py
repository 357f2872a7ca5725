"""What Django's cache keeps of a search for some minutes; a cache that is away keeps nothing."""

from __future__ import annotations

import logging
from typing import Any

from django.core.cache import cache

from mmsearch_app.conf import get_settings

__all__ = ["keep", "recall"]

log = logging.getLogger(__name__)


def keep(key: str, value: Any) -> None:
    """Keep a value as long as the late rerank may be asked for; never raises."""
    try:
        cache.set(key, value, get_settings().RERANK_SECONDS)
    except Exception:  # caches raise anything
        log.exception("The cache cannot be written")


def recall(key: str) -> Any:
    """What was kept under the key, or None; never raises. Whoever asks checks what it is."""
    try:
        return cache.get(key)
    except Exception:  # also what an older release has kept
        log.exception("The cache cannot be read")
        return None
