"""How often one visitor may search by API."""

from __future__ import annotations

import logging

from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from mmsearch_app.conf import get_settings

__all__ = ["SearchThrottle"]

log = logging.getLogger(__name__)


class SearchThrottle(UserRateThrottle):
    """The rate `THROTTLE_RATE` of the settings, read at every request; None: no limit.

    A visitor is the user where one is logged in, else the address. Behind a proxy set DRF's
    `NUM_PROXIES`: without it the address is whatever `X-Forwarded-For` says, and a client
    that writes a new one each time is never throttled. The counts live in the default cache
    and are not exact under load: this keeps single visitors from hogging, while
    `MAX_CONCURRENT_SEARCHES` is what protects the model. Where the cache is away, nobody is
    counted and nobody refused.
    """

    scope = "mmsearch"

    def get_rate(self) -> str | None:
        """The rate in DRF's notation, such as "60/min"."""
        return get_settings().THROTTLE_RATE

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the request; whether it is within the rate."""
        try:
            return bool(super().allow_request(request, view))
        except Exception:  # caches raise anything
            log.exception("The cache cannot be asked how often this visitor came")
            return True
