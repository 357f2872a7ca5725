"""How a serving process bears hostile uploads and a crowd of visitors, over real HTTP.

    python -m benchmarks.load [memory | crowd]

`memory` sends eight uploads at once to the page and to the API, of a WebP of a few bytes that
decodes to 39 megapixels and of one that is just allowed, and prints the memory of the server.
`crowd` lets 64 visitors search at once, each again as soon as answered, on servers with 64 and
with 8 threads, and prints how long they waited. On a machine that answers 64 visitors within five
seconds nobody is refused: set MAX_WAIT_SECONDS in the environment to a shorter time.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np
from PIL import Image

_BOUNDARY = "mmsearch-benchmark"
_PAGE, _API = "/find/", "/api/mmsearch/v1/search/"
_TOKEN = "t" * 32
"""Cookie and field that protect the form on the page."""
_UPLOADS = 8
_VISITORS = 64

SERVER = """
import sys
from queue import SimpleQueue
from threading import Thread
from socketserver import TCPServer
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from django.core.wsgi import get_wsgi_application

class Handler(WSGIRequestHandler):
    def log_message(self, *args): pass

class Server(WSGIServer):
    request_queue_size = 256
    def __init__(self, *args, threads):
        super().__init__(*args)
        self.accepted = SimpleQueue()
        for _ in range(threads):
            Thread(target=self.work, daemon=True).start()
    def process_request(self, request, address):
        self.accepted.put((request, address, time.time()))
    def work(self):
        while True:
            request, address, start = self.accepted.get()
            began.start = start
            try:
                self.finish_request(request, address)
            except OSError:
                pass
            finally:
                self.shutdown_request(request)

import threading, time
began = threading.local()
application = get_wsgi_application()

def timed(environ, start_response):
    environ["HTTP_X_REQUEST_START"] = f"t={began.start}"  # as a proxy would
    return application(environ, start_response)

server = Server(("127.0.0.1", int(sys.argv[1])), Handler, threads=int(sys.argv[2]))
server.set_app(timed)
print("ready", flush=True)
server.serve_forever()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["memory", "crowd"])
    parser.add_argument("--settings", default="benchmarks.load_settings")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the crowd searches")
    parser.add_argument("--data", help="folder that keeps the shop for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOP_DATA"] = options.data or folder
        os.environ["DJANGO_SETTINGS_MODULE"] = options.settings
        if not Path(os.environ["SHOP_DATA"], "media").exists():
            _prepare()
        if options.what in (None, "memory"):
            _measure_memory()
        if options.what in (None, "crowd"):
            for threads in (64, 8):
                _measure_crowd(threads, seconds=options.seconds)


def _prepare() -> None:
    """Make a small shop and index it, in a process of its own."""
    steps = (["migrate", "-v0"], ["make_catalogue", "--limit=60"], ["mmsearch_reindex"])
    for step in steps:
        subprocess.run([sys.executable, "manage.py", *step], check=True, stdout=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A serving process."""

    port: int
    pid: int

    def memory(self, key: str) -> float:
        """Return VmRSS (now) or VmHWM (at most so far) in MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, str | None, float]:
        """Return status, Retry-After, and seconds until the answer was complete."""
        headers = {"Cookie": f"csrftoken={_TOKEN}"}
        if body:
            headers["Content-Type"] = f"multipart/form-data; boundary={_BOUNDARY}"
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        with contextlib.closing(connection):
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            response.read()
        taken = time.perf_counter() - began
        return response.status, response.headers["Retry-After"], taken


@contextlib.contextmanager
def _serve(threads: int) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", SERVER, str(port), str(threads)]
    log = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdout is not None
        process.stdout.readline()
        server = Server(port=port, pid=process.pid)
        try:
            print(f"\n{threads} threads; first search: {_wait_until_loaded(server)}")
            yield server
        finally:
            process.kill()


def _wait_until_loaded(server: Server) -> str:
    """Search until the answer is 200; return what the first search got."""
    first = ""
    while True:
        status, retry, seconds = server.send("GET", f"{_PAGE}?text=red+mug")
        first = first or f"{status} after {seconds * 1000:.0f} ms, Retry-After {retry}"
        if status == 200:
            return first
        if status != 503:
            msg = f"The page answered {status}."
            raise RuntimeError(msg)
        time.sleep(2)


def _form(image: bytes) -> bytes:
    part = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
    token = f'{part}"csrfmiddlewaretoken"\r\n\r\n{_TOKEN}\r\n'
    head = f'{token}{part}"image"; filename="a"\r\n\r\n'
    return head.encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _flat_webp(width: int, height: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def _measure_memory() -> None:
    sizes = ((600, 400), (16383, 2400), (6000, 4000))
    files = {f"{width} x {height}": _flat_webp(width, height) for width, height in sizes}
    print("\nEight uploads at once; the first show what the model takes for images")
    with _serve(64) as server:
        for path in (_PAGE, _API):
            for name, image in files.items():
                server.forget_peak()
                before = server.memory("VmRSS")
                found = _at_once(server, path, _form(image))
                peak = server.memory("VmHWM")
                statuses = sorted(status for status, _, _ in found)
                slowest = max(seconds for _, _, seconds in found)
                print(
                    f"  {name:13} {len(image):5} bytes {path:24} {before:6.0f} -> {peak:6.0f} MB   "
                    f"{statuses}   {slowest:.1f} s"
                )


def _at_once(server: Server, path: str, body: bytes) -> list[tuple[int, str | None, float]]:
    found: list[tuple[int, str | None, float]] = []
    threads = [
        threading.Thread(target=lambda: found.append(server.send("POST", path, body)))
        for _ in range(_UPLOADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _measure_crowd(threads: int, *, seconds: float) -> None:
    with _serve(threads) as server:
        found: list[tuple[int, str | None, float]] = []
        end = time.monotonic() + seconds

        def visit(number: int) -> None:
            while time.monotonic() < end:
                words = quote_plus(f"red mug {number}")
                answer = server.send("GET", f"{_PAGE}?text={words}")
                found.append(answer)
                if answer[0] == 503:
                    time.sleep(min(2.0, float(answer[1] or 1)))  # more impatient than asked for

        visitors = [threading.Thread(target=visit, args=(n,)) for n in range(_VISITORS)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        print(f"{_VISITORS} visitors for {seconds:.0f} s")
        for status in sorted({answer[0] for answer in found}):
            print(f"  {status}: {_describe([t for s, _, t in found if s == status])}")
        retries = [int(r) for s, r, _ in found if s == 503 and r]
        if retries:
            print(f"  Retry-After: {min(retries)} to {max(retries)} s")


def _describe(times: Sequence[float]) -> str:
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    return (
        f"{len(times):6d} answers, p50 {p50:7.0f} ms, p95 {p95:7.0f} ms, "
        f"max {max(times) * 1000:7.0f} ms"
    )


if __name__ == "__main__":
    main()
