"""This project's model server in a thread, and its client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mmsearch_app.embedders.batching import Batcher
from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder
from mmsearch_app.inference.content import Content
from mmsearch_app.testing import TestingEmbedder
from tests.pictures import PICTURE
from tests.waiting import until

httpx = pytest.importorskip("httpx", reason="a model server is asked with httpx: mmsearch[server]")
for library in ("starlette", "uvicorn"):
    pytest.importorskip(library, reason=f"the server needs {library}: mmsearch[serve]")

from mmsearch_app.contrib.serving.application import ModelService, make_application  # noqa: E402

KEY = "a-long-random-word"
KINDS = [
    Content(text="red shoe"),
    Content(image=PICTURE),
    Content(image=PICTURE.rotate(180), text="but in blue"),
]


@contextmanager
def running(embedder: Any, **limits: Any) -> Iterator[str]:
    """Run the server during the block; yields its address."""
    import uvicorn

    most, seconds = limits.pop("most", 16), limits.pop("seconds", 120.0)
    batcher = limits.pop("batcher", None) or Batcher(embedder, most=most, seconds=seconds)
    application = make_application(ModelService(batcher=batcher, name="tiny", **limits))
    server = uvicorn.Server(
        uvicorn.Config(
            application, port=0, log_level="critical", ws="none", lifespan="off", loop="asyncio"
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(120)


def client(address: str, **options: Any) -> OpenAICompatibleEmbedder:
    given: dict[str, Any] = {"base_url": f"{address}/v1", "model": "tiny"}
    given["dimension"] = TestingEmbedder.dimension
    return OpenAICompatibleEmbedder(**(given | options))


def post(address: str, body: Any, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    return httpx.post(f"{address}/v1/embeddings", content=data, headers=sent, timeout=120)
