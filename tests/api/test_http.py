"""The API over a real connection: the answers, and the memory they need."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import plain

MB = 1 << 20
PATH = "/api/mmsearch/v1/search/"


def send(server: Any, body: Any, *, length: int, kind: str) -> tuple[int, dict[str, Any]]:
    """POST a body in parts, without keeping it in memory; returns the status and the document."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    connection.putrequest("POST", PATH)
    connection.putheader("Content-Type", kind)
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    for part in body:
        connection.send(part)
    response = connection.getresponse()
    document: dict[str, Any] = json.loads(response.read())
    connection.close()
    return response.status, document


def form(size: int) -> tuple[Iterator[bytes], int]:
    """A form with an image of `size` bytes, in parts."""
    head = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n"
    )
    tail = b"\r\n--b--\r\n"
    block = bytes(MB // 16)

    def parts() -> Iterator[bytes]:
        yield head
        for _ in range(size // len(block)):
            yield block
        yield tail

    return parts(), len(head) + size + len(tail)


@pytest.fixture
def peak() -> Iterator[Any]:
    """The peak of bytes that Python allocated since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_an_image_finds_products(live_server: Any, catalogue: Any) -> None:
    picture = plain("blue")
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = [head, picture, b"\r\n--b--\r\n"]
    status, document = send(
        live_server, body, length=sum(map(len, body)), kind="multipart/form-data; boundary=b"
    )
    assert status == 200
    assert document["results"][0]["title"].startswith("blue")
    assert document["results"][0]["image_url"].startswith(live_server.url)


def test_twenty_four_megabytes_get_an_answer_without_using_memory(
    live_server: Any, peak: Any
) -> None:
    body, length = form(24 * MB)
    status, document = send(
        live_server, body, length=length, kind="multipart/form-data; boundary=b"
    )
    assert status == 413
    assert document["errors"] == {"image": ["This file is too large: at most 8 MB."]}
    assert peak() < 4 * MB


def test_eight_megabytes_are_read_once(live_server: Any, peak: Any) -> None:
    body, length = form(8 * MB)
    status, document = send(
        live_server, body, length=length, kind="multipart/form-data; boundary=b"
    )
    assert (status, document["detail"]) == (422, "This is no JPEG, PNG, WebP or AVIF picture.")
    assert peak() < 40 * MB


def test_a_json_of_twenty_megabytes_gets_an_answer_without_using_memory(
    live_server: Any, peak: Any
) -> None:
    block = b" " * (MB // 16)
    status, document = send(
        live_server, (block for _ in range(20 * 16)), length=20 * MB, kind="application/json"
    )
    assert status == 413
    assert document["title"]
    assert peak() < 4 * MB
