"""The endpoints: a search, its further pages, its late order, and a health check.

A shop that wants other rules subclasses a view, or routes it with other arguments:
`SearchAPIView.as_view(permission_classes=[IsAuthenticated], authentication_classes=[...])`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.http import QueryDict
from django.utils.decorators import method_decorator
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from mmsearch_app.api import problems
from mmsearch_app.api.parsers import FormParser, JsonParser
from mmsearch_app.api.schema import HEALTH, documented
from mmsearch_app.api.serializers import (
    AnswerSerializer,
    PageQuestion,
    PictureQuestion,
    Question,
    RerankStatus,
)
from mmsearch_app.conf import get_settings
from mmsearch_app.health import examine
from mmsearch_app.images import discard
from mmsearch_app.searching import (
    Answer,
    SearchUnavailable,
    answer,
    apply_known,
    check_admission,
    is_offered,
    search,
    seconds_to_wait,
    tickets,
)


class SearchThrottle(BaseThrottle):
    """Apply the setting `THROTTLE_RATE`, in one count with the searches on the page.

    A visitor is the logged-in user or else the address. Behind a proxy set `NUM_PROXIES`: without
    it the address is whatever `X-Forwarded-For` says, and a client that sends a new one each time
    is never throttled. The throttle keeps single visitors from taking too much, while
    `MAX_CONCURRENT_SEARCHES` protects the model.
    """

    _seconds = 0

    def allow_request(self, request: Request, view: APIView) -> bool:
        self._seconds = seconds_to_wait(request._request, user=request.user)
        return not self._seconds

    def wait(self) -> float | None:
        return self._seconds or None


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class PublicView(APIView):
    """JSON for anyone, whatever the project's defaults for DRF are.

    A search changes nothing and nobody is logged in here, so a POST needs no CSRF token. With
    `authentication_classes` set, the sources' `visible_to` gets the user. No transaction is open
    while a model works.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes: Sequence[type[BaseThrottle]] = (SearchThrottle,)
    parser_classes = (FormParser, JsonParser)
    renderer_classes = (JSONRenderer,)
    versioning_class = None

    def get_exception_handler(self) -> Callable[..., Any]:
        return problems.handle

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep answers out of shared caches."""
        response.headers.setdefault("Cache-Control", "private, no-store")
        return super().finalize_response(request, response, *args, **kwargs)

    def respond(self, found: Answer, *, token: str, rerank: RerankStatus) -> Response:
        context = {"request": self.request, "token": token, "rerank": rerank}
        return Response(AnswerSerializer(found, context=context).data)


class SearchAPIView(PublicView):
    """Find products by an image, words, or both."""

    @documented(
        request={"multipart/form-data": PictureQuestion, "application/json": Question},
        problems=(400, 413, 415, 422, 429, 503),
        operation_id="search",
    )
    def post(self, request: Request) -> Response:
        """Answer at once in the order of the index; `rerank.url` leads to a better order.

        If the better order is known, because the same query found the same images before, it
        is returned at once.
        """
        _admit(request)
        asked = _read(request)
        wanted = asked.pop("rerank")
        found = search(**asked, rerank=False, user=request.user, request=request)
        token = tickets.issue(found)
        if not wanted:
            return self.respond(found, token=token, rerank="off")
        found = apply_known(found)
        return self.respond(found, token=token, rerank=_status(found))


class PageView(PublicView):
    """Further pages of a search, including one by an uploaded image."""

    @documented(
        problems=(400, 404, 410, 429, 503), operation_id="search_page", parameters=[PageQuestion]
    )
    def get(self, request: Request, token: str) -> Response:
        """Answer the same query from `offset` on, in the order of the index."""
        asked = PageQuestion(data=request.query_params)
        asked.is_valid(raise_exception=True)
        offset = asked.validated_data["offset"]
        query = tickets.redeem(token, user=request.user, request=request)
        found = apply_known(answer(replace(query, offset=offset, rerank=False)))
        return self.respond(found, token=token, rerank=_status(found))


class RerankView(PublicView):
    """The late, better order of the first page."""

    @documented(problems=(404, 410, 429, 503), operation_id="search_rerank")
    def get(self, request: Request, token: str) -> Response:
        """Rank the first time and answer the same afterwards.

        Without a reranker the results are in the order of the index. So they are if it fails:
        the status is then "failed", a note says why, and the next request tries again. 503 with
        `Retry-After` if the reranker's queue is full.
        """
        found = tickets.rerank_late(token, user=request.user, request=request)
        status = _status(found)
        return self.respond(found, token=token, rerank="failed" if status == "pending" else status)


class HealthView(PublicView):
    """Whether a search would work now."""

    throttle_classes = ()

    @documented(responses={200: HEALTH, 503: HEALTH}, problems=(), operation_id="search_health")
    def get(self, request: Request) -> Response:
        """Return 200, or 503 if a search would fail."""
        health = examine()
        return Response(health.document(), status=200 if health.ok else 503)


def _status(found: Answer) -> RerankStatus:
    if found.judged:
        return "done"
    return "pending" if is_offered(found) else "off"


def _admit(request: Request) -> None:
    """Raise SearchUnavailable if the search would wait too long; its body is then dropped."""
    try:
        check_admission(request._request)
    except SearchUnavailable:
        discard(request._request, max_bytes=4 * get_settings().MAX_IMAGE_BYTES)
        raise


def _read(request: Request) -> dict[str, Any]:
    """Return the arguments of `search` in the request's body. Raises ValidationError."""
    data = request.data
    question = (PictureQuestion if isinstance(data, QueryDict) else Question)(data=data)
    question.is_valid(raise_exception=True)
    return dict(question.validated_data)
