"""This project's model server refuses invalid requests with errors in OpenAI's format."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from mmsearch_app.contrib.serving.bodies import MAX_INPUTS, MAX_TEXT
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.endpoint import ServerError
from mmsearch_app.testing import TestingEmbedder
from tests.contrib.serving.served import KEY, KINDS, client, httpx, post, running
from tests.embedders.listener import listening
from tests.pictures import PICTURE, encode


def uri(image: Image.Image, kind: str = "PNG") -> str:
    return f"data:image/{kind.lower()};base64,{base64.b64encode(encode(image, kind)).decode()}"


def message(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": role, "content": list(parts)}]}


def shown(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address}}


def test_a_wrong_key_is_refused() -> None:
    with running(TestingEmbedder(), key=KEY) as address:
        for given in ("", KEY, f"Basic {KEY}", "Bearer", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}"):
            assert post(address, {"model": "tiny", "input": "a"}, Authorization=given).is_error


@pytest.mark.parametrize("whole", [True, False], ids=["announced", "in chunks"])
def test_a_body_that_is_too_large_is_refused(whole: bool) -> None:
    data = json.dumps({"model": "tiny", "input": "a" * 3000}).encode()
    with running(TestingEmbedder(), max_bytes=2000) as address:
        refused = httpx.post(
            f"{address}/v1/embeddings",
            content=data if whole else iter([data[:1500], data[1500:]]),
            headers={"Content-Type": "application/json"},
        )
        assert post(address, {"model": "tiny", "input": "a"}).is_success
    assert refused.status_code == 413
    assert refused.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", ["http://{}/a.jpg", "//{}/a.jpg", "file:///etc/hosts"])
def test_an_image_by_url_is_refused_and_not_fetched(address: str, name: str) -> None:
    with listening() as listener:
        place = name.format(listener.url.removeprefix("http://"))
        refused = post(address, message(shown(place)))
        assert listener.connections == 0
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_image_url"
    assert "not fetched" in refused.json()["error"]["message"]


def test_words_that_look_like_a_url_are_plain_text(address: str) -> None:
    with listening() as listener:
        assert post(address, {"model": "tiny", "input": f"{listener.url}/a.jpg"}).is_success
        assert listener.connections == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("data:image/png;base64,AAA", "not valid base64"),
        ("data:image/png;base64,AAAA", "no JPEG, PNG, WebP or AVIF"),
        ("data:image/png;base64,", "empty"),
        ("data:text/plain;base64,AAAA", "must be a data URI"),
        ("data:image/svg+xml;base64,PHN2Zz4=", "no JPEG, PNG, WebP or AVIF"),
        (uri(Image.new("RGB", (9, 9)), "GIF"), "no JPEG, PNG, WebP or AVIF"),
        (uri(PICTURE)[:200], "damaged|not valid base64"),
        (None, "must be a data URI"),
    ],
)
def test_a_file_that_is_not_an_image_is_refused(address: str, given: Any, said: str) -> None:
    refused = post(address, message(shown(given)))
    assert refused.status_code == 400
    assert re.search(said, refused.json()["error"]["message"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        {},
        {"model": "tiny"},
        {"model": "tiny", "input": []},
        {"model": "tiny", "input": [1, 2]},
        {"model": "tiny", "input": ["a"] * (MAX_INPUTS + 1)},
        {"model": "tiny", "input": "a" * (MAX_TEXT + 1)},
        {"model": "tiny", "input": "a", "messages": []},
        {"model": "tiny", "input": "a", "dimensions": 12},
        {"model": "tiny", "input": "a", "encoding_format": "hex"},
        {"model": "other", "input": "a"},
        {"model": ["tiny"], "input": "a"},
        {"model": "tiny", "messages": []},
        {"model": "tiny", "messages": ["a"]},
        {"model": "tiny", "messages": [{"role": "user"}]},
        {"model": "tiny", "messages": [{"role": "user", "content": ["a"]}]},
        message(),
        message({"type": "text"}),
        message({"type": "audio"}),
        message({"type": "text", "text": "a"}, {"type": "text", "text": "b"}),
        message(shown(uri(PICTURE)), shown(uri(PICTURE))),
        message({"type": "text", "text": "a"}, role="system"),
        message({"type": "text", "text": "a"}) | {"input": "a"},
    ],
    ids=lambda body: str(body)[:40],
)
def test_an_invalid_request_is_refused_in_openais_format(address: str, body: Any) -> None:
    refused = post(address, body)
    assert refused.status_code in (400, 404)
    error = refused.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_an_instruction_is_refused_rather_than_ignored(address: str) -> None:
    with pytest.raises(ServerError, match="takes no instructions"):
        client(address, query_instruction="Find the product.").embed_queries(KINDS)


def test_a_form_from_another_site_is_refused(address: str) -> None:
    refused = post(address, {"model": "tiny", "input": "a"}, **{"Content-Type": "text/plain"})
    assert refused.status_code == 415


@pytest.mark.parametrize(("path", "status"), [("/", 404), ("/v1/embeddings", 405)])
def test_an_unknown_path_has_an_error_in_the_same_format(
    address: str, path: str, status: int
) -> None:
    refused = httpx.get(f"{address}{path}")
    assert refused.status_code == status
    assert refused.json()["error"]["type"] == "invalid_request_error"


def test_a_failing_model_reveals_no_details() -> None:
    class Broken(TestingEmbedder):
        def embed_queries(self, contents: Sequence[Content]) -> Any:
            msg = "secret/path"
            raise RuntimeError(msg)

    with running(Broken()) as address:
        failed = post(address, {"model": "tiny", "input": "a"})
    assert failed.status_code == 500
    assert failed.json()["error"]["message"] == "The model failed."


def test_a_slow_upload_times_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsearch_app.contrib.serving.application.BODY_SECONDS", 0.1)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
