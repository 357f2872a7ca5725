"""How often one visitor may search, on the page and through the API together."""

from __future__ import annotations

import logging
import math
import time
import zlib
from typing import Any

from django.conf import settings as django_settings
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from mmsearch_app.conf import get_settings

log = logging.getLogger(__name__)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_to_wait(request: HttpRequest, *, user: Any = None) -> int:
    """Count a search of this visitor; return 0 if it is allowed, else the seconds to wait.

    A visitor is the logged-in user or else the address. The periods of `THROTTLE_RATE` follow
    each other, and begin at another time for each visitor. If the cache is unavailable, every
    search is allowed.
    """
    rate = get_settings().THROTTLE_RATE
    if rate is None:
        return 0
    most, _, period = rate.partition("/")
    duration = _SECONDS[period[0]]
    visitor = salted_hmac("mmsearch_app.searching.throttle", _identify(request, user)).hexdigest()
    passed = time.time() + zlib.crc32(visitor.encode()) % duration
    try:
        count = _count(f"mmsearch:throttle:{visitor}:{passed // duration:.0f}", duration)
    except Exception:  # caches raise anything
        log.exception("The cache that counts searches is unavailable; the search is allowed")
        return 0
    return 0 if count <= int(most) else math.ceil(duration - passed % duration)


def _count(key: str, seconds: int) -> int:
    """Add one in a way that two processes at once do not miss; return the sum.

    Asks the cache once, but for the first search of a period.
    """
    for _ in range(2):
        try:
            return cache.incr(key)
        except ValueError:  # nothing is counted yet
            if cache.add(key, 1, seconds):
                return 1
    return 1  # expired just now, or a cache that keeps nothing


def _identify(request: HttpRequest, user: Any) -> str:
    if user is not None and user.is_authenticated:
        return f"user {user.pk}"
    return f"address {_address(request)}"


def _address(request: HttpRequest) -> str:
    """Return the visitor's address, as Django REST framework does."""
    own: str = request.META.get("REMOTE_ADDR", "")
    forwarded: str = request.headers.get("x-forwarded-for", "")
    proxies = get_settings().NUM_PROXIES
    if proxies is None:
        proxies = getattr(django_settings, "REST_FRAMEWORK", {}).get("NUM_PROXIES")
    if proxies is None:
        return "".join(forwarded.split()) or own
    if proxies == 0 or not forwarded:
        return own
    addresses = forwarded.split(",")
    return addresses[-min(proxies, len(addresses))].strip()
