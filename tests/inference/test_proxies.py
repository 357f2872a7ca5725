"""Model servers on this machine are asked directly, others through the environment's proxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Thread

import pytest

from mmsearch_app.inference.endpoint import Endpoint, ServerError
from mmsearch_app.inference.proxies import find_proxy, is_loopback
from tests.model_server import open_server

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
DEAD = "http://127.0.0.1:9"
"""Nothing listens there."""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Hello(BaseHTTPRequestHandler):
    """Answers with the target of the request line: a whole address if it was sent to a proxy."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        data = f'"{self.path}"'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with open_server(Hello) as served:
        yield served


@dataclass
class Counter:
    url: str
    connections: int = 0


@contextmanager
def counting() -> Iterator[Counter]:
    """Count connections, and close each after its first bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Counter(f"http://127.0.0.1:{server.getsockname()[1]}")

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                found.connections += 1
                connection.recv(1024)
                connection.close()

        Thread(target=accept, daemon=True).start()
        yield found
        server.shutdown(socket.SHUT_RDWR)


def ask(url: str) -> object:
    return Endpoint(url).post({}, seconds=5.0, attempts=1)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
@pytest.mark.parametrize("exempt", [None, "", "other.example"])
def test_a_server_on_this_machine_is_asked_directly(
    address: str, monkeypatch: pytest.MonkeyPatch, name: str, host: str, exempt: str | None
) -> None:
    monkeypatch.setenv(name, DEAD)
    if exempt is not None:
        monkeypatch.setenv("NO_PROXY", exempt)

    assert ask(address.replace("127.0.0.1", host) + "/v1") == "/v1"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_another_server_is_asked_through_the_proxy(
    address: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, address.removeprefix("http://"))

    assert ask("http://models.example/v1") == "http://models.example/v1"


def test_the_message_names_the_proxy_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")

    with pytest.raises(ServerError, match=r"through the proxy http://127\.0\.0\.1:9") as caught:
        ask("http://models.example/v1")

    assert "secret" not in str(caught.value)


def test_a_status_of_the_proxy_is_reported_with_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refuses(Hello):
        def do_POST(self) -> None:
            self.send_error(407)

    with open_server(Refuses) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        with pytest.raises(ServerError, match=rf"proxy {proxy}\) answered 407.*user name"):
            ask("http://models.example/v1")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_a_plain_error(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)

    with pytest.raises(ServerError, match=proxy):
        ask("http://models.example/v1")


def test_the_exemptions_of_the_environment_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    monkeypatch.setenv("NO_PROXY", "models.example,10.0.0.5")

    assert find_proxy("http://models.example/v1") == ""
    assert find_proxy("http://gpu.models.example:8000/v1") == ""
    assert find_proxy("http://10.0.0.5:8000/v1") == ""
    assert find_proxy("http://10.0.0.6:8000/v1") == DEAD
    assert find_proxy("https://other.example/v1") == ""


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "gpu.localhost",
        "localhost.localdomain",
        "127.0.0.1",
        "127.255.0.9",
        "127.1",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
        "0.0.0.0",  # noqa: S104 - not bound
        "0:0:0:0:0:0:0:1",
    ],
)
def test_all_notations_of_this_machine_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "models.example", "10.0.0.1", "128.0.0.1", "::2", "local"])
def test_other_machines_are_not_taken_for_this_one(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("proxy", ["http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY"])
def test_milvus_on_this_machine_is_reached_directly(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    pytest.importorskip("pymilvus")
    from mmsearch_app.indexes.base import IndexUnavailable
    from mmsearch_app.indexes.milvus.connection import Connection

    with counting() as milvus, counting() as other:
        monkeypatch.setenv(proxy, other.url)
        monkeypatch.setenv("no_proxy", "")
        uri = milvus.url.replace("127.0.0.1", "localhost")
        connection = Connection(uri=uri, token="", database="", timeout=2.0)
        with pytest.raises(IndexUnavailable):
            connection.call("list_collections")
        assert milvus.connections > 0
        assert other.connections == 0


def test_milvus_elsewhere_is_reached_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pymilvus")
    from mmsearch_app.indexes.base import IndexUnavailable
    from mmsearch_app.indexes.milvus.connection import Connection

    with counting() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        connection = Connection(
            uri="http://milvus.example:19530", token="", database="", timeout=2.0
        )
        with pytest.raises(IndexUnavailable):
            connection.call("list_collections")
        assert proxy.connections > 0
