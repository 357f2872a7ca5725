"""A server that counts who comes, to prove that nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Listener:
    url: str
    connections: int = 0


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener on this machine; it answers every request with 404."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.connections += 1
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    found = Listener(url=f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
