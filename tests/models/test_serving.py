"""Our own model server, over HTTP: its answers, its limits, and the shop as its client."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import override_settings
from PIL import Image

from mmsearch_app.embedders.base import Content
from mmsearch_app.embedders.batching import Batcher
from mmsearch_app.embedders.endpoint import ServerError
from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder
from mmsearch_app.testing import IN_MEMORY, TestingEmbedder
from tests.models import kit
from tests.models.listener import listening

httpx = pytest.importorskip("httpx", reason="a model server is asked with httpx: mmsearch[server]")
for library in ("starlette", "uvicorn"):
    pytest.importorskip(library, reason=f"the server needs {library}: mmsearch[serve]")

from mmsearch_app.serving.application import Service, make_application  # noqa: E402
from mmsearch_app.serving.bodies import MAX_INPUTS, MAX_TEXT  # noqa: E402

KEY = "a-long-random-word"
PICTURE = Image.effect_mandelbrot((60, 44), (-2, -1.5, 1, 1.5), 20).convert("RGB")
KINDS = [
    Content(text="red shoe"),
    Content(image=PICTURE),
    Content(image=PICTURE.rotate(180), text="but in blue"),
]


@contextmanager
def running(embedder: Any, **limits: Any) -> Iterator[str]:
    """The server's address."""
    import uvicorn

    batcher = Batcher(embedder, most=limits.pop("most", 16), seconds=limits.pop("seconds", 20.0))
    application = make_application(Service(batcher=batcher, name="tiny", **limits))
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
        thread.join(20)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(TestingEmbedder()) as found:
        yield found


def client(address: str, **options: Any) -> OpenAICompatibleEmbedder:
    given = {"base_url": f"{address}/v1", "model": "tiny", "dimension": TestingEmbedder.dimension}
    return OpenAICompatibleEmbedder(**(given | options))


def post(address: str, body: Any, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    return httpx.post(f"{address}/v1/embeddings", content=data, headers=sent, timeout=20)


def uri(image: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def message(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": role, "content": list(parts)}]}


def shown(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address}}


def as_sent(image: Image.Image) -> Image.Image:
    """What a picture is after its journey as a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, optimize=True)
    return Image.open(buffer)


@pytest.mark.parametrize("family", kit.FAMILIES)
def test_a_served_model_has_the_vectors_of_the_model_itself(family: str, tmp_path: Path) -> None:
    embedder = kit.make(family, tmp_path)
    embedder.warm_up()
    arrived = [Content(image=c.image and as_sent(c.image), text=c.text) for c in KINDS]
    with running(embedder) as address:
        served = client(address, dimension=embedder.dimension)
        queries, documents = served.embed_queries(KINDS), served.embed_documents(KINDS)
    assert kit.gap(queries, embedder.embed_queries(arrived)) < kit.TOLERANCE
    assert kit.gap(documents, embedder.embed_documents(arrived)) < kit.TOLERANCE


def test_words_may_come_as_input(address: str) -> None:
    served = client(address, words="input")
    expected = TestingEmbedder().embed_queries(KINDS[:1])
    assert kit.gap(served.embed_queries(KINDS[:1]), expected) < 1e-6


def test_a_list_of_words_is_answered_in_order(address: str) -> None:
    words = [f"word{number}" for number in range(40)]
    answer = post(address, {"model": "tiny", "input": words}).json()
    assert answer["object"] == "list"
    assert [row["index"] for row in answer["data"]] == list(range(40))
    found = [row["embedding"] for row in answer["data"]]
    expected = TestingEmbedder().embed_queries([Content(text=word) for word in words])
    assert kit.gap(found, expected) < 1e-6


def test_numbers_may_be_asked_for_as_base64(address: str) -> None:
    body = {"model": "tiny", "input": "red shoe", "encoding_format": "base64"}
    written = post(address, body).json()["data"][0]["embedding"]
    found = np.frombuffer(base64.b64decode(written), "<f4")
    np.testing.assert_array_equal(found, TestingEmbedder().embed_queries(KINDS[:1])[0])


def test_a_message_may_be_plain_words(address: str) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "red shoe"}]}
    found = post(address, body).json()["data"][0]["embedding"]
    assert kit.gap(found, TestingEmbedder().embed_queries(KINDS[:1])[0]) < 1e-6


def test_the_model_has_a_name_with_a_mark_of_its_weights(address: str) -> None:
    (model,) = httpx.get(f"{address}/v1/models").json()["data"]
    assert model["id"].startswith("tiny@")
    assert model["dimension"] == 256
    assert model["fingerprint"] == "testing-1"
    assert client(address, model=model["id"]).embed_queries(KINDS).shape == (3, 256)


def test_who_asks_for_other_weights_gets_nothing(address: str) -> None:
    (model,) = httpx.get(f"{address}/v1/models").json()["data"]
    said = r"answered 404: .*There is no model 'tiny@"
    with (
        running(TestingEmbedder(fingerprint="anew")) as other,
        pytest.raises(ServerError, match=said),
    ):
        client(other, model=model["id"]).embed_queries(KINDS)


def test_a_wrong_dimension_is_told(address: str) -> None:
    with pytest.raises(ServerError, match="set dimension=256"):
        client(address, dimension=12).embed_queries(KINDS)


def test_health_needs_no_key_and_the_rest_does() -> None:
    with running(TestingEmbedder(), key=KEY) as address:
        assert httpx.get(f"{address}/health").json() == {"status": "ok"}
        assert httpx.get(f"{address}/v1/models").status_code == 401
        refused = post(address, {"model": "tiny", "input": "a"}, Authorization="Bearer wrong")
        assert client(address, api_key=KEY).embed_queries(KINDS).shape == (3, 256)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert KEY not in refused.text


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
def test_a_picture_by_address_is_refused_and_not_fetched(address: str, name: str) -> None:
    with listening() as listener:
        place = name.format(listener.url.removeprefix("http://"))
        refused = post(address, message(shown(place)))
        assert listener.connections == 0
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_image_url"
    assert "not fetched" in refused.json()["error"]["message"]


def test_words_that_look_like_an_address_are_words(address: str) -> None:
    with listening() as listener:
        assert post(address, {"model": "tiny", "input": f"{listener.url}/a.jpg"}).is_success
        assert listener.connections == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("data:image/png;base64,AAA", "not base64"),
        ("data:image/png;base64,AAAA", "no JPEG, PNG, WebP or AVIF"),
        ("data:image/png;base64,", "empty"),
        ("data:text/plain;base64,AAAA", "must be a data URI"),
        ("data:image/svg+xml;base64,PHN2Zz4=", "no JPEG, PNG, WebP or AVIF"),
        (uri(Image.new("RGB", (9, 9)), "GIF"), "no JPEG, PNG, WebP or AVIF"),
        (uri(PICTURE)[:200], "damaged|not base64"),
        (None, "must be a data URI"),
    ],
)
def test_what_is_no_picture_is_refused(address: str, given: Any, said: str) -> None:
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
def test_what_cannot_be_answered_is_refused_in_openais_words(address: str, body: Any) -> None:
    refused = post(address, body)
    assert refused.status_code in (400, 404)
    error = refused.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_an_instruction_is_refused_rather_than_ignored(address: str) -> None:
    with pytest.raises(ServerError, match="takes no instructions"):
        client(address, query_instruction="Find the product.").embed_queries(KINDS)


def test_a_form_of_another_site_is_refused(address: str) -> None:
    refused = post(address, {"model": "tiny", "input": "a"}, **{"Content-Type": "text/plain"})
    assert refused.status_code == 415


@pytest.mark.parametrize(("path", "status"), [("/", 404), ("/v1/embeddings", 405)])
def test_an_unknown_place_has_an_error_in_the_same_shape(
    address: str, path: str, status: int
) -> None:
    refused = httpx.get(f"{address}{path}")
    assert refused.status_code == status
    assert refused.json()["error"]["type"] == "invalid_request_error"


class Slow(TestingEmbedder):
    """As a model is: a run of many takes no longer than a run of one."""

    def __init__(self, *, seconds: float = 0.05) -> None:
        super().__init__()
        self.seconds = seconds
        self.runs: list[int] = []

    def embed_queries(self, contents: Sequence[Content]) -> Any:
        self.runs.append(len(contents))
        time.sleep(self.seconds)
        return super().embed_queries(contents)


def test_requests_at_the_same_time_are_embedded_together() -> None:
    slow = Slow()
    texts = [f"word{number}" for number in range(32)]
    with running(slow) as address, ThreadPoolExecutor(32) as pool:
        served = client(address, query_timeout=20.0)
        found = list(pool.map(lambda text: served.embed_queries([Content(text=text)])[0], texts))
    expected = TestingEmbedder().embed_queries([Content(text=text) for text in texts])
    assert kit.gap(found, expected) < 1e-6
    assert sum(slow.runs) == 32
    assert len(slow.runs) < 16


def test_too_many_at_once_are_told_to_come_again() -> None:
    slow = Slow(seconds=0.3)
    with running(slow, max_requests=2) as address, ThreadPoolExecutor(6) as pool:
        body = {"model": "tiny", "input": "a"}
        answers = list(pool.map(lambda _: post(address, body), range(6)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert 1 <= len(refused) <= 4
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)
    assert refused[0].json()["error"]["type"] == "server_error"


def test_who_waits_too_long_is_told_to_come_again() -> None:
    with running(Slow(seconds=0.5), seconds=0.05) as address, ThreadPoolExecutor(3) as pool:
        body = {"model": "tiny", "input": "a"}
        answers = list(pool.map(lambda _: post(address, body), range(3)))
    assert sorted({answer.status_code for answer in answers}) == [200, 503]


def test_a_model_that_fails_tells_nothing_of_itself() -> None:
    class Broken(TestingEmbedder):
        def embed_queries(self, contents: Sequence[Content]) -> Any:
            msg = "secret/path"
            raise RuntimeError(msg)

    with running(Broken()) as address:
        failed = post(address, {"model": "tiny", "input": "a"})
    assert failed.status_code == 500
    assert failed.json()["error"]["message"] == "The model failed."


def test_a_slow_sender_is_not_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsearch_app.serving.application.BODY_SECONDS", 0.1)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_shop_searches_through_the_server() -> None:
    from mmsearch_app.conf import get_batcher, get_embedder

    with running(TestingEmbedder(), key=KEY) as address:
        (model,) = httpx.get(
            f"{address}/v1/models", headers={"Authorization": f"Bearer {KEY}"}
        ).json()["data"]
        part = {
            "BACKEND": "mmsearch_app.embedders.openai.OpenAICompatibleEmbedder",
            "OPTIONS": {
                "base_url": f"{address}/v1",
                "model": model["id"],
                "dimension": model["dimension"],
                "api_key": KEY,
            },
        }
        with override_settings(MMSEARCH={**IN_MEMORY, "EMBEDDER": part}):
            assert get_embedder().fingerprint.startswith(model["id"])
            found = get_batcher().embed_queries(KINDS[2:])
    arrived = [Content(image=as_sent(KINDS[2].image), text=KINDS[2].text)]  # type: ignore[arg-type]
    assert kit.gap(found, TestingEmbedder().embed_queries(arrived)) < 1e-6
