"""What drf-spectacular, if it is installed, cannot find out by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mmsearch_app.api.serializers import AnswerSerializer

PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "errors": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}

HEALTH = {
    "type": "object",
    "required": ["status", "index", "model", "waiting", "indexing"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "degraded"]},
        "index": {"type": "string", "enum": ["live", "not built", "unreachable"]},
        "model": {
            "type": "string",
            "enum": ["matches", "differs", "loading", "unavailable", "unknown"],
        },
        "waiting": {"type": "integer", "nullable": True},
        "indexing": {"type": "string", "enum": ["ok", "healing", "refused", "unknown"]},
    },
}

F = TypeVar("F", bound=Callable[..., Any])


def documented(
    *, problems: Sequence[int], responses: Mapping[int, Any] | None = None, **options: Any
) -> Callable[[F], F]:
    """Describe the responses of a view's method: an answer, unless `responses` says otherwise.

    `problems` are the statuses of problem documents, `options` go to `extend_schema`. Without
    drf-spectacular the method is returned unchanged.
    """
    try:
        from drf_spectacular.utils import extend_schema
    except ImportError:
        return lambda method: method
    right = {200: AnswerSerializer} if responses is None else responses
    wrong = {(status, "application/problem+json"): PROBLEM for status in problems}
    return extend_schema(responses={**right, **wrong}, **options)
