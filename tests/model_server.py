"""Model servers on this machine: they answer as real ones do, and misbehave on demand."""

from __future__ import annotations

import base64
import json
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Event, Lock, Thread
from typing import Any, ClassVar, TypeAlias, TypeVar

from PIL import Image

from tests.waiting import until

Body: TypeAlias = dict[str, Any]
Misdeed: TypeAlias = Callable[["Answer"], None]


@dataclass(kw_only=True)
class ModelServer(ABC):
    """`script` lists what the next requests get instead of an answer; None means an answer."""

    path: ClassVar[str]
    base_url: str = ""
    delay: float = 0.0
    crowd: int = 0
    """Requests wait until so many have come at the same time."""
    script: deque[Misdeed | None] = field(default_factory=deque)
    requests: list[Body] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    """The client's port for each request; the same port means the same connection."""
    busy: int = 0
    busiest: int = 0
    lock: Lock = field(default_factory=Lock)
    ended: Event = field(default_factory=Event)
    """Set when the test ends, so that hanging requests end, too."""

    @abstractmethod
    def answer(self, body: Body) -> Body:
        """The body to send with status 200."""


S = TypeVar("S", bound=ModelServer)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: ModelServer

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
            until(lambda: served.busiest >= served.crowd)
            time.sleep(served.delay)
            if misdeed:
                misdeed(self)
            elif self.path == served.path:
                self.send_json(200, served.answer(body))
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
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Print nothing: some tests disconnect on purpose."""


@contextmanager
def open_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve with `handler` on a free port; yields the address without a trailing slash."""
    http = Quiet(("127.0.0.1", 0), handler)
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@contextmanager
def serve(served: S) -> Iterator[S]:
    with open_server(type("Bound", (Answer,), {"served": served})) as address:
        served.base_url = f"{address}/v1"
        try:
            yield served
        finally:
            served.ended.set()


def open_picture(part: Body) -> Image.Image:
    """Load the image of a message part, which must be a JPEG in a data URI."""
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64", head
    image = Image.open(BytesIO(base64.b64decode(data, validate=True)))
    image.load()
    return image


def status(code: int, **headers: str) -> Misdeed:
    def misdeed(answer: Answer) -> None:
        key = answer.headers["Authorization"]
        answer.send_json(code, {"error": {"message": f"went wrong for {key}"}}, **headers)

    return misdeed


def raw(data: bytes) -> Misdeed:
    return lambda answer: answer.send_bytes(200, data)


def die(answer: Answer) -> None:
    """Close the connection without an answer."""
    answer.close_connection = True
    answer.connection.close()


def die_midway(answer: Answer) -> None:
    """Announce a hundred bytes and stop after ten."""
    answer.send_response(200)
    answer.send_header("Content-Length", "100")
    answer.end_headers()
    answer.wfile.write(b'{"data": [')
    answer.close_connection = True


def hang(answer: Answer) -> None:
    """Send nothing until the test ends."""
    answer.served.ended.wait(600)
    answer.close_connection = True


def drip(answer: Answer) -> None:
    """Send single bytes until the test ends, so that no single wait is long."""
    answer.send_response(200)
    answer.send_header("Content-Length", "1000000")
    answer.end_headers()
    while not answer.served.ended.wait(0.05):
        try:
            answer.wfile.write(b" ")
            answer.wfile.flush()
        except OSError:
            return
    answer.close_connection = True
