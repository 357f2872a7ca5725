"""A model server's address: JSON there and back, within a time, in spite of passing failures."""

from __future__ import annotations

import json
import os
import random
import time
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mmsearch_app.inference.forking import renew_after_fork
from mmsearch_app.inference.options import needing

if TYPE_CHECKING:
    import httpx

__all__ = ["Endpoint", "ServerError"]

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that another attempt may change."""
FIRST_WAIT = 0.25
CONNECT_SECONDS = 5.0
_MAX_BYTES = 16 * 1024 * 1024


class ServerError(RuntimeError):
    """The server cannot be reached, fails, or answers nonsense; the message holds no secret.

    `status` is the one that it answered with where that was the trouble, else None.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _PassingError(Exception):
    """Worth another attempt, after `wait` seconds if the server named a time."""

    def __init__(
        self, message: str, *, wait: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.status = status


class Endpoint:
    """An address that takes a JSON object by POST and answers with one.

    The key is `api_key` or, read at each first use in a process, the environment variable
    `api_key_env`; it is sent as a bearer token to this address alone: redirects are not followed.
    Connections are kept, per process, and shared by threads. Raises ValueError for an address
    that is none, or that holds a password.
    """

    def __init__(self, url: str, *, api_key: str = "", api_key_env: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "A server's address begins with http:// or https:// and names a host."
            raise ValueError(msg)
        if parts.username or parts.password or parts.query or parts.fragment:
            msg = "A server's address holds no user, password or query: use api_key or api_key_env."
            raise ValueError(msg)
        if api_key and api_key_env:
            msg = "Give api_key or api_key_env, not both."
            raise ValueError(msg)
        self.url = url
        self._api_key = api_key
        self._api_key_env = api_key_env
        self._client: httpx.Client | None = None
        self._process = 0
        self._reset()
        renew_after_fork(self._reset)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    def post(self, body: Mapping[str, Any], *, seconds: float, attempts: int) -> Any:
        """The answer's JSON. All attempts, and the waits between them, end in about `seconds`.

        Only a server that lets its header come piece by piece can hold it for longer.
        Tried again: no connection, a connection that breaks, a server that is too slow or busy
        (status 408, 425, 429, 5xx), after the time that it names, else after a growing one.
        Raises ServerError.
        """
        content = json.dumps(body).encode()
        deadline = time.monotonic() + seconds
        for attempt in range(1, attempts + 1):
            try:
                return self._post(content, deadline)
            except _PassingError as failure:
                jitter = random.uniform(0.5, 1)  # noqa: S311 - so that clients come apart
                wait = failure.wait
                if wait is None:
                    wait = FIRST_WAIT * 2 ** (attempt - 1) * jitter
                if attempt == attempts or time.monotonic() + wait >= deadline:
                    msg = f"{self.url} {failure} (attempt {attempt})."
                    raise ServerError(msg, status=failure.status) from None
                time.sleep(wait)
        msg = f"attempts must be at least 1, not {attempts}."
        raise ValueError(msg)

    def _post(self, content: bytes, deadline: float) -> Any:
        with needing("server"):
            import httpx
        left = max(0.001, deadline - time.monotonic())
        times = httpx.Timeout(left, connect=min(left, CONNECT_SECONDS))
        try:
            with self._opened().stream("POST", self.url, content=content, timeout=times) as answer:
                data = self._read(answer, deadline)
        except httpx.TimeoutException:
            msg = f"did not answer in time ({left:.3g} s)"
            raise _PassingError(msg) from None
        except httpx.RequestError as error:
            msg = f"cannot be reached: {type(error).__name__}"
            raise _PassingError(msg) from None
        self._check_status(answer, data)
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            msg = f"{self.url} answered with something else than JSON ({len(data)} bytes)."
            raise ServerError(msg) from None

    def _read(self, answer: httpx.Response, deadline: float) -> bytes:
        data = bytearray()
        for chunk in answer.iter_bytes():
            data += chunk
            if len(data) > _MAX_BYTES:
                msg = f"{self.url} answered with more than {_MAX_BYTES} bytes."
                raise ServerError(msg)
            if time.monotonic() > deadline:
                msg = "did not finish its answer in time"
                raise _PassingError(msg)
        return bytes(data)

    def _check_status(self, answer: httpx.Response, data: bytes) -> None:
        status = answer.status_code
        if status in PASSING:
            wait = _parse_wait(answer.headers.get("Retry-After", ""))
            msg = f"answered {status}: {self._excerpt(data)}"
            raise _PassingError(msg, wait=wait, status=status)
        if answer.has_redirect_location:
            msg = f"{self.url} answered {status}, a redirect: name the final address."
            raise ServerError(msg)
        if not answer.is_success:
            msg = f"{self.url} answered {status}: {self._excerpt(data)}"
            raise ServerError(msg, status=status)

    def _excerpt(self, data: bytes) -> str:
        """The server's own words, short, and without the key should it repeat it."""
        said = data[:4000].decode("utf-8", "replace")
        for secret in filter(None, (self._secret(), json.dumps(self._secret())[1:-1])):
            said = said.replace(secret, "***")
        return " ".join(said.split())[:200] or "nothing more"

    def _reset(self) -> None:
        self._lock = Lock()

    def _opened(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None or self._process != os.getpid():
                headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
                if secret := self._secret():
                    headers["Authorization"] = f"Bearer {secret}"
                self._client = httpx.Client(headers=headers, follow_redirects=False)
                self._process = os.getpid()  # connections cannot be shared with a forked child
                weakref.finalize(self, self._client.close)
            return self._client

    def _secret(self) -> str:
        secret = self._api_key
        if self._api_key_env:
            secret = os.environ.get(self._api_key_env, "")
            if not secret:
                msg = f"The environment variable {self._api_key_env} holds no key."
                raise ServerError(msg)
        if not (secret.isascii() and secret.isprintable()) or " " in secret:
            msg = "The key of the model server holds characters that no key has."
            raise ServerError(msg)
        return secret


def _parse_wait(value: str) -> float | None:
    """Seconds of a Retry-After header: a number or a date (RFC 9110); None if it is neither."""
    try:
        return max(0.0, float(int(value)))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
