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
from mmsearch_app.inference import Crowded

BODY_SECONDS = 30.0
"""Seconds within which the whole body must arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelService:
    """A loaded embedder and the limits of its server."""

    batcher: Batcher
    name: str
    key: str = ""
    """Bearer token required by every route but /health; "" requires none."""
    max_bytes: int = 12 * 1024 * 1024
    """Largest request body; base64 makes an image a third larger."""
    max_requests: int = 64
    """Requests served at the same time; further ones get 503."""

    @property
    def model(self) -> str:
        """The name with a hash of the fingerprint, such as "bge-vl-base@5f0c8a1d".

        A client that uses this name never gets vectors of another model or of other weights.
        """
        mark = hashlib.sha256(self.batcher.embedder.fingerprint.encode()).hexdigest()[:8]
        return f"{self.name}@{mark}"


def make_application(service: ModelService) -> Starlette:
    """Return the ASGI application: `POST /v1/embeddings`, `GET /v1/models`, `GET /health`."""
    routes = _Routes(service)
    return Starlette(
        routes=[
            Route("/v1/embeddings", routes.embed, methods=["POST"]),
            Route("/v1/models", routes.list_models),
            Route("/health", routes.health),
        ],
        exception_handlers={HTTPException: _refuse_route, Refusal: _refuse, Exception: _fail},
    )


class _Routes:
    def __init__(self, service: ModelService) -> None:
        self.service = service
        self.threads = CapacityLimiter(service.max_requests)
        self.busy = 0

    async def embed(self, request: Request) -> Response:
        """Embed texts, or one message with an image, text or both."""
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
        """List the one model, by the name that a client should use."""
        self._check_key(request)
        embedder = self.service.batcher.embedder
        model = {"id": self.service.model, "object": "model", "created": 0, "owned_by": "mmsearch"}
        model |= {"dimension": embedder.dimension, "fingerprint": embedder.fingerprint}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, request: Request) -> Response:
        """Answer "ok": the server does not listen before the weights are loaded."""
        return JSONResponse({"status": "ok"})

    def _check_key(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.encode("latin-1"), self.service.key.encode())
        if self.service.key and not (right and scheme.lower() == "bearer"):
            msg = "The bearer token is missing or wrong."
            raise Refusal(msg, status=401, code="invalid_api_key")

    async def _read(self, request: Request) -> bytes:
        """Return the body. If it is too large, read on for a while: the client is still sending."""
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
        """Return the answer's JSON. Runs in a thread; other requests may go between two batches."""
        service = self.service
        batcher = service.batcher
        names = (service.model, service.name)
        try:
            asked = read_body(data, models=names, dimension=batcher.embedder.dimension)
        except Crowded:  # other requests' images take all the memory
            raise _busy() from None
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
    return Refusal("The server is busy; try again in a second.", status=503, code="overloaded")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - as registered
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(error.status)
    return JSONResponse(error.document(), status_code=error.status, headers=headers)


async def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered
    refusal: Any = Refusal(error.detail, status=error.status_code)
    return await _refuse(request, refusal)


async def _fail(request: Request, error: Exception) -> Response:
    """Answer 500. Starlette raises the error again afterwards, so that the log shows it."""
    return await _refuse(request, Refusal("The model failed.", status=500))
