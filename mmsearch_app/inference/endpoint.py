"""The address of a model server: JSON requests with a time limit and retries."""

from __future__ import annotations

import itertools
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
from mmsearch_app.inference.proxies import describe_proxy, find_proxy

if TYPE_CHECKING:
    import httpx

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses worth a retry."""
HINTS = {
    401: ". Check the key (api_key or api_key_env).",
    403: ". The key (api_key or api_key_env) may not be allowed to use this model.",
    404: ". Check base_url and the name of the model.",
    407: ". The proxy wants a user name and a password.",
}
FIRST_WAIT = 0.25  # seconds; doubled before each further attempt
CONNECT_SECONDS = 5.0
_MAX_BYTES = 16 * 1024 * 1024


class ServerError(RuntimeError):
    """The server cannot be reached, reports an error, or sends an answer that makes no sense.

    `status` is its HTTP status if that was the error, else None, and `said` the beginning of what
    it said. Neither these nor the message contain our secret.
    """

    def __init__(self, message: str, *, status: int | None = None, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class _PassingError(Exception):
    """A failure worth a retry, after `wait` seconds if the server asked for that."""

    def __init__(
        self, message: str, *, wait: float | None = None, status: int | None = None, said: str = ""
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.status = status
        self.said = said


class Endpoint:
    """An address that takes a JSON object by POST and answers with one.

    The key is `api_key`, or the value of the environment variable `api_key_env` at the first
    request of each process. It is sent as a bearer token to this address only: redirects are not
    followed. Connections stay open; threads share them, processes do not. A server on this
    machine is asked directly, another one through the proxy of the environment (`find_proxy`),
    which every message then names.

    Raises ValueError if the address is invalid or contains a password.
    """

    def __init__(self, url: str, *, api_key: str = "", api_key_env: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "A server's address must begin with http:// or https:// and name a host."
            raise ValueError(msg)
        if parts.username or parts.password or parts.query or parts.fragment:
            msg = (
                "A server's address must not contain a user, password, query or fragment; "
                "give a key as api_key or api_key_env."
            )
            raise ValueError(msg)
        if api_key and api_key_env:
            msg = "Give api_key or api_key_env, not both."
            raise ValueError(msg)
        self.url = url
        self._api_key = api_key
        self._api_key_env = api_key_env
        self._reset()
        renew_after_fork(self._reset)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    def post(self, body: Mapping[str, Any], *, seconds: float, attempts: int) -> Any:
        """Return the answer's JSON within about `seconds`, all attempts and waits included.

        Only a server that sends its headers slowly, piece by piece, can take longer. Retries if
        the connection fails or breaks, the answer is late, or the status is one of `PASSING`;
        waits as long as the server asks for, else longer each time. Raises ServerError.
        """
        content = json.dumps(body).encode()
        deadline = time.monotonic() + seconds
        for attempt in itertools.count(1):
            try:
                return self._post(content, deadline)
            except _PassingError as failure:
                wait = failure.wait
                if wait is None:
                    jitter = random.uniform(0.5, 1)  # noqa: S311 - clients must not retry in step
                    wait = FIRST_WAIT * 2 ** (attempt - 1) * jitter
                if attempt >= attempts or time.monotonic() + wait >= deadline:
                    msg = f"{self._place} {failure} (attempt {attempt})."
                    raise ServerError(msg, status=failure.status, said=failure.said) from None
                time.sleep(wait)

    def _post(self, content: bytes, deadline: float) -> Any:
        with needing("server"):
            import httpx
        left = max(0.001, deadline - time.monotonic())
        times = httpx.Timeout(left, connect=min(left, CONNECT_SECONDS))
        try:
            with self._open().stream("POST", self.url, content=content, timeout=times) as answer:
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
            msg = f"{self._place} answered with something other than JSON ({len(data)} bytes)."
            raise ServerError(msg) from None

    def _read(self, answer: httpx.Response, deadline: float) -> bytes:
        data = bytearray()
        for chunk in answer.iter_bytes():
            data += chunk
            if len(data) > _MAX_BYTES:
                msg = f"{self._place} answered with more than {_MAX_BYTES} bytes."
                raise ServerError(msg)
            if time.monotonic() > deadline:
                msg = "did not finish its answer in time"
                raise _PassingError(msg)
        return bytes(data)

    def _check_status(self, answer: httpx.Response, data: bytes) -> None:
        status = answer.status_code
        said = self._blank(data)
        if status in PASSING:
            wait = _parse_wait(answer.headers.get("Retry-After", ""))
            msg = f"answered {status}: {_excerpt(said)}"
            raise _PassingError(msg, wait=wait, status=status, said=said)
        if answer.has_redirect_location:
            msg = f"{self._place} answered {status}, a redirect: name the final address."
            raise ServerError(msg)
        if not answer.is_success:
            msg = f"{self._place} answered {status}: {_excerpt(said)}{HINTS.get(status, '')}"
            raise ServerError(msg, status=status, said=said)

    def _blank(self, data: bytes) -> str:
        """The beginning of what the server said; our key is blanked out if it appears there."""
        said = data[:4000].decode("utf-8", "replace")
        for secret in filter(None, (self._secret(), json.dumps(self._secret())[1:-1])):
            said = said.replace(secret, "***")
        return said

    def _reset(self) -> None:
        """Start without connections: a forked child must not use its parent's."""
        self._lock = Lock()
        self._client: httpx.Client | None = None
        self._proxy = ""

    @property
    def _place(self) -> str:
        """The address and, if there is one, the proxy, for messages."""
        if not self._proxy:
            return self.url
        return f"{self.url} (through the proxy {describe_proxy(self._proxy)})"

    def _open(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
                if secret := self._secret():
                    headers["Authorization"] = f"Bearer {secret}"
                self._proxy = find_proxy(self.url)
                self._client = httpx.Client(
                    headers=headers, follow_redirects=False, transport=self._transport()
                )
                weakref.finalize(self, self._client.close)
            return self._client

    def _transport(self) -> httpx.HTTPTransport:
        """Our own: the client would choose a proxy itself, for this machine as well."""
        import httpx

        try:
            return httpx.HTTPTransport(proxy=self._proxy or None)
        except (ValueError, ImportError) as error:  # a proxy of an unknown kind; SOCKS
            msg = f"The proxy {describe_proxy(self._proxy)} cannot be used: {error}"
            raise ServerError(msg) from None

    def _secret(self) -> str:
        secret = self._api_key
        if self._api_key_env:
            secret = os.environ.get(self._api_key_env, "")
            if not secret:
                msg = f"The environment variable {self._api_key_env} is empty or not set."
                raise ServerError(msg)
        if not (secret.isascii() and secret.isprintable()) or " " in secret:
            msg = "The key of the model server contains characters that no key has."
            raise ServerError(msg)
        return secret


def _excerpt(said: str) -> str:
    return " ".join(said.split())[:200] or "nothing more"


def _parse_wait(value: str) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or a date (RFC 9110).

    Return None if it is neither.
    """
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
