"""Requests without the optional fields that a server refuses."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mmsearch_app.inference.endpoint import Endpoint, ServerError

log = logging.getLogger(__name__)

REFUSING = frozenset({400, 403, 404, 405, 415, 422, 500, 501})
"""HTTP statuses by which servers refuse a field, among other things."""
REFUSAL_SECONDS = 3600.0
"""How long a refusal is remembered: servers are updated."""
_INSTEAD: Mapping[str, tuple[str, Any]] = {
    "max_tokens": ("max_completion_tokens", None),
    "top_logprobs": ("top_logprobs", 5),
}
"""What is tried before a field is left out: its newer name, or a value that more servers allow."""
_NAMING = frozenset({"param", "parameter", "loc", "field", "name", "pointer", "property", "path"})
"""Keys of an error under which servers name the field at fault."""
_ECHO = frozenset({"input", "body", "request", "messages", "instance", "ctx", "url"})
"""Keys of an error under which servers repeat the request."""

_refused: dict[tuple[str, str], dict[str, tuple[float, int]]] = {}
"""By address and model: for each field until when, a time of `time.monotonic`, it is not sent, and
how far it was changed: 1 for `_INSTEAD`, 2 for left out. Shared by all clients of a process."""


def post_without_refused(
    endpoint: Endpoint,
    body: Mapping[str, Any],
    *,
    optional: Collection[str],
    seconds: float,
    attempts: int,
) -> Any:
    """Return the endpoint's answer to `body`, without the `optional` fields that it refuses.

    If an error names one of them, asks again with the field renamed or left out, one field at a
    time. What helped is remembered for this address and model, in this process, for an hour.
    Other errors, such as those about the key or the model, are raised. All within about
    `seconds`. Raises ServerError.
    """
    known = _refused.setdefault((endpoint.url, str(body.get("model", ""))), {})
    now = time.monotonic()
    deadline = now + seconds
    steps = {name: step for name, (end, step) in list(known.items()) if end > now}
    learned: dict[str, int] = {}
    while True:
        left = deadline - time.monotonic()
        sent = dict(_apply(body, steps))
        try:
            answer = endpoint.post(sent, seconds=left, attempts=attempts)
        except ServerError as error:
            name = _find_refused(error, sent, body, optional)
            if name is None or deadline <= time.monotonic():
                raise
            steps[name] = learned[name] = 2 if name not in _INSTEAD else steps.get(name, 0) + 1
            log.warning("%s; asking again without that value of %r", error, name)
            continue
        for name, step in learned.items():
            known[name] = (time.monotonic() + REFUSAL_SECONDS, step)
        return answer


def _apply(body: Mapping[str, Any], steps: Mapping[str, int]) -> Iterator[tuple[str, Any]]:
    for name, value in body.items():
        step = steps.get(name, 0)
        if step == 0:
            yield name, value
        elif step == 1 and name in _INSTEAD:
            other, fixed = _INSTEAD[name]
            if other == name or other not in body:
                yield other, value if fixed is None else fixed


def _find_refused(
    error: ServerError, sent: Mapping[str, Any], body: Mapping[str, Any], optional: Collection[str]
) -> str | None:
    """The optional field of the body that the error is about; None if it is about anything else.

    A renamed field counts by its first name.
    """
    if error.status not in REFUSING:
        return None
    origins = {name: name for name in body if name in optional}
    origins |= {new: old for old, (new, _) in _INSTEAD.items() if old in origins and new != old}
    named, said = _read_error(error.said)
    for text in (*named, *said):
        places = {
            found.start(): name
            for name in sent
            if (found := re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text))
        }
        if text in named and places and places[min(places)] not in origins:
            return None  # the server says which field is at fault, and it is not an optional one
        fitting = [name for _, name in sorted(places.items()) if name in origins]
        if fitting:
            return origins[fitting[0]]
    return None


def _read_error(said: str) -> tuple[list[str], list[str]]:
    """What an error names as the field at fault, and what else it says; without echoes.

    The body of an error is JSON of any layout, or plain text, or HTML.
    """
    named: list[str] = []
    other: list[str] = []
    try:
        _collect(json.loads(said), "", named, other)
    except (ValueError, RecursionError):
        other.append(re.sub(r"<[^<>]{0,500}>", " ", said))
    return named, other


def _collect(value: Any, key: str, named: list[str], other: list[str]) -> None:
    if isinstance(value, Mapping):
        for inner, item in value.items():
            if inner.lower() not in _ECHO:
                _collect(item, inner.lower(), named, other)
    elif isinstance(value, list):
        for item in value:
            _collect(item, key, named, other)
    elif isinstance(value, str):
        (named if key in _NAMING else other).append(value)
