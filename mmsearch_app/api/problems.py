"""Answer every error of the API with a problem document (RFC 9457).

The views use this handler whatever the project's `EXCEPTION_HANDLER` is.

| status | when |
| --- | --- |
| 400 | a field is missing, unknown or wrong: `errors` has sentences by field; a `like` that names no product, since the address itself exists |
| 404, 410 | a token that this site did not sign; one that has expired |
| 413 | more bytes than an image, a form or a JSON body may have |
| 415 | a body that is neither `multipart/form-data` nor `application/json` |
| 422 | an image that cannot be used: damaged, too many pixels, or not one of the four formats |
| 429, 503 | too many requests; index or model unavailable or busy: both with `Retry-After` |
| 500 | an error in the server: logged, and reported without details |
"""  # noqa: E501 - a table

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from http import HTTPStatus
from math import ceil
from typing import Any

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, JsonResponse, UnreadablePostError
from django.utils.translation import gettext
from rest_framework.exceptions import APIException, Throttled, UnsupportedMediaType, ValidationError
from rest_framework.settings import api_settings

from mmsearch_app.images import InvalidImage, UploadTooLarge
from mmsearch_app.searching import Expired, Forged, InvalidQuery, SearchUnavailable
from mmsearch_app.translation import too_often_message

log = logging.getLogger(__name__)
WAIT = 60
"""Seconds to wait if a throttle does not say how long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong, as the client may read it."""

    status: int
    detail: str
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    """Sentences by the name of the field."""
    headers: Mapping[str, str] = field(default_factory=dict)


def handle(error: Exception, context: Mapping[str, Any]) -> JsonResponse:
    """Answer any exception of a view, those included that DRF would re-raise."""
    request: HttpRequest = context["request"]
    problem = describe(error)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("An API request failed", exc_info=error)
        got_request_exception.send(sender=None, request=request)
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.path,
    }
    if problem.errors:
        document["errors"] = problem.errors
    return JsonResponse(
        document,
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )


@singledispatch
def describe(error: Exception) -> Problem:
    """Return the problem that an exception stands for; `describe.register` adds types."""
    return Problem(status=500, detail=gettext("Something went wrong here. It has been recorded."))


@describe.register
def _(error: InvalidImage) -> Problem:
    status = 413 if error.code == "too_large" else 422
    return Problem(status=status, detail=str(error), errors={"image": [str(error)]})


@describe.register
def _(error: InvalidQuery) -> Problem:
    if isinstance(error.__cause__, InvalidImage):
        return describe(error.__cause__)
    errors = {error.field: [str(error)]} if error.field else {}
    return Problem(status=400, detail=str(error), errors=errors)


@describe.register
def _(error: Forged) -> Problem:
    return Problem(status=404, detail=str(error))


@describe.register
def _(error: Expired) -> Problem:
    return Problem(status=410, detail=str(error))


@describe.register
def _(error: SearchUnavailable) -> Problem:
    return Problem(
        status=503, detail=str(error), headers={"Retry-After": str(ceil(error.retry_after))}
    )


@describe.register
def _(error: UploadTooLarge) -> Problem:
    return Problem(status=413, detail=str(error), errors={"image": [str(error)]})


@describe.register
def _(error: RequestDataTooBig) -> Problem:
    return Problem(status=413, detail=gettext("This request is too large."))


@describe.register
def _(error: SuspiciousOperation | BadRequest | UnreadablePostError) -> Problem:
    return Problem(status=400, detail=gettext("This request cannot be read."))


@describe.register
def _(error: Http404) -> Problem:
    return Problem(status=404, detail=gettext("There is nothing at this address."))


@describe.register
def _(error: PermissionDenied) -> Problem:
    return Problem(status=403, detail=gettext("This is not allowed."))


@describe.register
def _(error: APIException) -> Problem:
    challenge = getattr(error, "auth_header", None)
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    sentences = list(_flatten(error.detail))
    return Problem(status=error.status_code, detail=" ".join(sentences), headers=headers)


@describe.register
def _(error: UnsupportedMediaType) -> Problem:
    return Problem(status=415, detail=gettext("Send multipart/form-data or application/json."))


@describe.register
def _(error: Throttled) -> Problem:
    wait = ceil(getattr(error, "wait", None) or WAIT)
    return Problem(status=429, detail=too_often_message(wait), headers={"Retry-After": str(wait)})


@describe.register
def _(error: ValidationError) -> Problem:
    fields: Any = error.detail if isinstance(error.detail, dict) else {}
    errors = {str(name): list(_flatten(value)) for name, value in fields.items()}
    errors.pop(api_settings.NON_FIELD_ERRORS_KEY, None)
    sentences = dict.fromkeys(_flatten(error.detail))
    return Problem(status=400, detail=" ".join(sentences), errors=errors)


def _flatten(detail: Any) -> Iterator[str]:
    if isinstance(detail, Mapping):
        detail = list(detail.values())
    if not isinstance(detail, list | tuple):
        yield str(detail)
        return
    for part in detail:
        yield from _flatten(part)
