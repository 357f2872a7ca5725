"""A server that counts requests, to prove that there are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from tests.model_server import open_server


@dataclass
class Listener:
    url: str
    connections: int = 0


@contextmanager
def listening() -> Iterator[Listener]:
    """Run a listener on this machine that answers every request with 404."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.connections += 1
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with open_server(Answer) as url:
        found = Listener(url=url)
        yield found
