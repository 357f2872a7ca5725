"""A server of a real model: speaks `/v1/embeddings` as vLLM does, and misbehaves when told."""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Lock, Thread
from typing import Any, TypeAlias

from PIL import Image

from mmsearch_app.embedders.base import Content, Embedder

Misdeed: TypeAlias = Callable[["Answer"], None]


@dataclass
class Server:
    """`script` holds what the next requests get instead of an answer; None is an answer."""

    model: Embedder
    base_url: str = ""
    delay: float = 0.0
    script: deque[Misdeed | None] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    """Of the client, request by request: the same on the same connection."""
    busy: int = 0
    busiest: int = 0
    lock: Lock = field(default_factory=Lock)

    def embed(self, body: dict[str, Any]) -> list[Any]:
        """The rows of an answer. Raises ValueError for what vLLM refuses."""
        contents = (
            [Content(text=text) for text in body["input"]]
            if "input" in body
            else [read_conversation(body["messages"])]
        )
        vectors = self.model.embed_queries(contents)
        return [
            {"object": "embedding", "index": index, "embedding": vector.tolist()}
            for index, vector in enumerate(vectors)
        ]


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Server

    def do_POST(self) -> None:
        served = self.served
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with served.lock:
            served.requests.append(body)
            served.keys.append(self.headers["Authorization"])
            served.ports.append(self.client_address[1])
            misdeed = served.script.popleft() if served.script else None
            served.busy += 1
            served.busiest = max(served.busiest, served.busy)
        try:
            time.sleep(served.delay)
            if misdeed:
                misdeed(self)
            elif self.path == "/v1/embeddings":
                self.send_json(200, {"object": "list", "data": served.embed(body)})
            else:
                self.send_json(404, {"error": {"message": f"no {self.path}"}})
        finally:
            with served.lock:
                served.busy -= 1

    def send_json(self, status: int, content: object, **headers: str) -> None:
        self.send_bytes(status, json.dumps(content).encode(), **headers)

    def send_bytes(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients that went away are part of the tests."""


def read_conversation(messages: list[dict[str, Any]]) -> Content:
    """The one user message: data URIs and texts, as this project sends them."""
    (parts,) = [message["content"] for message in messages if message["role"] == "user"]
    image, text = None, None
    for part in parts:
        if part["type"] == "text":
            text = part["text"]
            continue
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/jpeg;base64", head
        assert text is None, "the picture comes first"
        image = Image.open(BytesIO(base64.b64decode(data, validate=True)))
        image.load()
    return Content(image=image, text=text)


@contextmanager
def serving(model: Embedder) -> Iterator[Server]:
    served = Server(model=model)
    http = Quiet(("127.0.0.1", 0), type("Bound", (Answer,), {"served": served}))
    http.daemon_threads = True
    http.block_on_close = False
    served.base_url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def status(code: int, **headers: str) -> Misdeed:
    def misdeed(answer: Answer) -> None:
        key = answer.headers["Authorization"]
        answer.send_json(code, {"error": {"message": f"went wrong for {key}"}}, **headers)

    return misdeed


def rows(*vectors: list[float]) -> Misdeed:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return lambda answer: answer.send_json(200, {"data": data})


def raw(data: bytes) -> Misdeed:
    return lambda answer: answer.send_bytes(200, data)


def die(answer: Answer) -> None:
    """Break the connection without an answer."""
    answer.close_connection = True
    answer.connection.close()


def die_midway(answer: Answer) -> None:
    """Promise a hundred bytes and break off after ten."""
    answer.send_response(200)
    answer.send_header("Content-Length", "100")
    answer.end_headers()
    answer.wfile.write(b'{"data": [')
    answer.close_connection = True


def sleep(seconds: float) -> Misdeed:
    def misdeed(answer: Answer) -> None:
        time.sleep(seconds)
        answer.close_connection = True

    return misdeed


def drip(answer: Answer) -> None:
    """A byte now and then, for two seconds: no single wait is long."""
    answer.send_response(200)
    answer.send_header("Content-Length", "1000")
    answer.end_headers()
    for _ in range(40):
        try:
            answer.wfile.write(b" ")
            answer.wfile.flush()
        except OSError:
            return
        time.sleep(0.05)
    answer.close_connection = True
