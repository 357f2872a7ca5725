"""This project's model server over HTTP: its answers, and a shop as its client."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import override_settings

from mmsearch_app.embedders.batching import Batcher
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.endpoint import ServerError
from mmsearch_app.testing import IN_MEMORY, TestingEmbedder
from tests.contrib.serving.served import KEY, KINDS, client, httpx, post, running
from tests.embedders import kit
from tests.pictures import as_sent
from tests.waiting import until


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


def test_a_list_of_texts_is_answered_in_order(address: str) -> None:
    words = [f"word{number}" for number in range(40)]
    answer = post(address, {"model": "tiny", "input": words}).json()
    assert answer["object"] == "list"
    assert [row["index"] for row in answer["data"]] == list(range(40))
    found = [row["embedding"] for row in answer["data"]]
    expected = TestingEmbedder().embed_queries([Content(text=word) for word in words])
    assert kit.gap(found, expected) < 1e-6


def test_vectors_may_be_requested_as_base64(address: str) -> None:
    body = {"model": "tiny", "input": "red shoe", "encoding_format": "base64"}
    written = post(address, body).json()["data"][0]["embedding"]
    found = np.frombuffer(base64.b64decode(written), "<f4")
    np.testing.assert_array_equal(found, TestingEmbedder().embed_queries(KINDS[:1])[0])


def test_a_message_may_be_plain_text(address: str) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "red shoe"}]}
    found = post(address, body).json()["data"][0]["embedding"]
    assert kit.gap(found, TestingEmbedder().embed_queries(KINDS[:1])[0]) < 1e-6


def test_the_model_name_contains_a_digest_of_its_weights(address: str) -> None:
    (model,) = httpx.get(f"{address}/v1/models").json()["data"]
    assert model["id"].startswith("tiny@")
    assert model["dimension"] == 256
    assert model["fingerprint"] == "testing-1"
    assert client(address, model=model["id"]).embed_queries(KINDS).shape == (3, 256)


def test_a_request_for_other_weights_is_refused(address: str) -> None:
    (model,) = httpx.get(f"{address}/v1/models").json()["data"]
    said = r"answered 404: .*There is no model 'tiny@"
    with (
        running(TestingEmbedder(fingerprint="anew")) as other,
        pytest.raises(ServerError, match=said),
    ):
        client(other, model=model["id"]).embed_queries(KINDS)


def test_a_wrong_dimension_is_reported(address: str) -> None:
    with pytest.raises(ServerError, match="set dimension=256"):
        client(address, dimension=12).embed_queries(KINDS)


def test_only_health_needs_no_key() -> None:
    with running(TestingEmbedder(), key=KEY) as address:
        assert httpx.get(f"{address}/health").json() == {"status": "ok"}
        assert httpx.get(f"{address}/v1/models").status_code == 401
        refused = post(address, {"model": "tiny", "input": "a"}, Authorization="Bearer wrong")
        assert client(address, api_key=KEY).embed_queries(KINDS).shape == (3, 256)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert KEY not in refused.text


class Slow(TestingEmbedder):
    """Its first run lasts until the condition is true."""

    def __init__(self, until_true: Callable[[], object]) -> None:
        super().__init__()
        self.until_true = until_true
        self.runs: list[int] = []

    def embed_queries(self, contents: Sequence[Content]) -> Any:
        self.runs.append(len(contents))
        if len(self.runs) == 1:
            until(self.until_true)
        return super().embed_queries(contents)


def test_requests_at_the_same_time_are_embedded_together() -> None:
    slow = Slow(lambda: len(batcher._waiting) == 31)
    batcher = Batcher(slow, most=16, seconds=120.0)
    texts = [f"word{number}" for number in range(32)]
    with running(slow, batcher=batcher) as address, ThreadPoolExecutor(32) as pool:
        served = client(address, query_timeout=120.0)
        found = list(pool.map(lambda text: served.embed_queries([Content(text=text)])[0], texts))
    expected = TestingEmbedder().embed_queries([Content(text=text) for text in texts])
    assert kit.gap(found, expected) < 1e-6
    assert slow.runs == [1, 16, 15]


def test_too_many_requests_are_told_to_retry() -> None:
    asked: list[Future[Any]] = []
    slow = Slow(lambda: len([future for future in asked if future.done()]) == 4)
    with running(slow, max_requests=2) as address, ThreadPoolExecutor(6) as pool:
        body = {"model": "tiny", "input": "a"}
        asked += [pool.submit(post, address, body) for _ in range(6)]
        answers = [future.result() for future in asked]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == 4
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)
    assert refused[0].json()["error"]["type"] == "server_error"


def test_a_request_that_waits_too_long_is_told_to_retry() -> None:
    asked: list[Future[Any]] = []
    slow = Slow(lambda: any(future.done() for future in asked))
    with running(slow, seconds=0.05) as address, ThreadPoolExecutor(3) as pool:
        body = {"model": "tiny", "input": "a"}
        asked += [pool.submit(post, address, body) for _ in range(3)]
        answers = [future.result() for future in asked]
    assert sorted({answer.status_code for answer in answers}) == [200, 503]


def test_a_shop_searches_through_the_server() -> None:
    from mmsearch_app.backends import get_batcher, get_embedder

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
