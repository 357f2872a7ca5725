"""The ASGI application. Importing this module imports Starlette."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mmsearch_app.contrib.serving.bodies import Encoding, Refusal, read_body
from mmsearch_app.embedders import Batcher

__all__ = ["ModelService", "make_application"]

BODY_SECONDS = 30.0
"""A request must have arrived whole by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelService:
    """One embedder, loaded already, and the limits of its server."""

    batcher: Batcher
    name: str
    key: str = ""
    """The bearer token that every request but those to /health must carry; "" for none."""
    max_bytes: int = 12 * 1024 * 1024
    """Of a request's body: a picture grows by a third in base64."""
    max_requests: int = 64
    """At work at the same time; further ones are told to come again (503)."""

    @property
    def model(self) -> str:
        """The name with a mark of the fingerprint, for example "bge-vl-base@5f0c8a1d".

        Who asks for it by this name never gets the vectors of another model, or of other weights.
        """
        mark = hashlib.sha256(self.batcher.embedder.fingerprint.encode()).hexdigest()[:8]
        return f"{self.name}@{mark}"


def make_application(service: ModelService) -> Starlette:
    """`POST /v1/embeddings`, `GET /v1/models`, `GET /health`."""
    routes = _Routes(service)
    return Starlette(
        routes=[
            Route("/v1/embeddings", routes.embed, methods=["POST"]),
            Route("/v1/models", routes.list_models),
            Route("/health", routes.tell_health),
        ],
        exception_handlers={HTTPException: _refuse_route, Refusal: _refuse, Exception: _fail},
    )


class _Routes:
    def __init__(self, service: ModelService) -> None:
        self.service = service
        self.threads = CapacityLimiter(service.max_requests)
        self.busy = 0

    async def embed(self, request: Request) -> Response:
        """Vectors of texts, or of one message with a picture, words, or both."""
        self._check_key(request)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            msg = "The body must be application/json."
            raise Refusal(msg, status=415)
        if self.busy >= self.service.max_requests:
            raise _busy()
        self.busy += 1
        try:
            data = await self._read(request)
            answer = await to_thread.run_sync(self._embed, data, limiter=self.threads)
        finally:
            self.busy -= 1
        return Response(answer, media_type="application/json")

    async def list_models(self, request: Request) -> Response:
        """The one model, by the name that a client is to use."""
        self._check_key(request)
        embedder = self.service.batcher.embedder
        model = {"id": self.service.model, "object": "model", "created": 0, "owned_by": "mmsearch"}
        model |= {"dimension": embedder.dimension, "fingerprint": embedder.fingerprint}
        return JSONResponse({"object": "list", "data": [model]})

    async def tell_health(self, request: Request) -> Response:
        """The server listens only once the weights are loaded, so that an answer says it all."""
        return JSONResponse({"status": "ok"})

    def _check_key(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.encode("latin-1"), self.service.key.encode())
        if self.service.key and not (right and scheme.lower() == "bearer"):
            msg = "The bearer token is missing or wrong."
            raise Refusal(msg, status=401, code="invalid_api_key")

    async def _read(self, request: Request) -> bytes:
        """The body. One that is too large is read on for a while, so that the client listens."""
        most, size, data = self.service.max_bytes, 0, bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size <= most:
                        data += chunk
                    elif size > 4 * most:
                        break
        except (TimeoutError, ClientDisconnect):
            msg = "The body did not arrive in time."
            raise Refusal(msg, status=408) from None
        if size > most:
            msg = f"The body is larger than {most} bytes."
            raise Refusal(msg, status=413)
        return bytes(data)

    def _embed(self, data: bytes) -> bytes:
        """In a thread: the answer's JSON. Many texts go in parts, so that others get between."""
        service = self.service
        batcher = service.batcher
        names = (service.model, service.name)
        asked = read_body(data, models=names, dimension=batcher.embedder.dimension)
        parts = [
            asked.contents[start : start + batcher.most]
            for start in range(0, len(asked.contents), batcher.most)
        ]
        try:
            vectors = np.concatenate([batcher.embed_queries(part) for part in parts])
        except TimeoutError:
            raise _busy() from None
        rows = [
            {"object": "embedding", "index": index, "embedding": _write(row, asked.encoding)}
            for index, row in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}  # clients want the field; not counted
        answer = {"object": "list", "model": service.model, "data": rows, "usage": usage}
        return json.dumps(answer).encode()


def _write(row: NDArray[np.float32], encoding: Encoding) -> list[float] | str:
    if encoding == "float":
        return [float(number) for number in row]
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def _busy() -> Refusal:
    return Refusal("The server is busy; come again in a second.", status=503, code="overloaded")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - as registered
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(error.status)
    return JSONResponse(error.document(), status_code=error.status, headers=headers)


async def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered
    refusal: Any = Refusal(error.detail, status=error.status_code)
    return await _refuse(request, refusal)


async def _fail(request: Request, error: Exception) -> Response:
    """The traceback goes to the log: Starlette raises the error again after this answer."""
    return await _refuse(request, Refusal("The model failed.", status=500))
