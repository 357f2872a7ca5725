"""Limit how often one visitor may search by API."""

from __future__ import annotations

import logging

from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from mmsearch_app.conf import get_settings

log = logging.getLogger(__name__)


class SearchThrottle(UserRateThrottle):
    """Apply the setting `THROTTLE_RATE`, read at every request; None means no limit.

    A visitor is the logged-in user or else the IP address. Behind a proxy set DRF's
    `NUM_PROXIES`: without it the address is whatever `X-Forwarded-For` says, and a client that
    sends a new one each time is never throttled. The counts are kept in the default cache and
    are not exact under load: the throttle keeps single visitors from taking too much, while
    `MAX_CONCURRENT_SEARCHES` protects the model. If the cache is unavailable, all requests are
    allowed.
    """

    scope = "mmsearch"

    def get_rate(self) -> str | None:
        return get_settings().THROTTLE_RATE

    def allow_request(self, request: Request, view: APIView) -> bool:
        try:
            return bool(super().allow_request(request, view))
        except Exception:  # caches raise anything
            log.exception("The cache that counts requests is unavailable; the request is allowed")
            return True
