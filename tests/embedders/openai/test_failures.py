"""Failures of a server: temporary ones are retried, others are reported at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest

from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.endpoint import ServerError
from tests.embedders.listener import listening
from tests.embedders.openai.embedding_server import KEY, EmbeddingServer, ask, client, rows
from tests.model_server import Misdeed, die, die_midway, drip, hang, raw, status

pytest.importorskip("httpx", reason="a model server is asked with httpx: mmsearch[server]")


# Temporary failures


@pytest.mark.parametrize(
    "misdeed",
    [status(429), status(500), status(502), status(503), status(504), die, die_midway],
    ids=["429", "500", "502", "503", "504", "dies", "dies midway"],
)
def test_a_temporary_failure_is_retried(server: EmbeddingServer, misdeed: Misdeed) -> None:
    server.script.append(misdeed)
    assert np.isfinite(ask(client(server))).all()
    assert len(server.requests) == 2


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_retry_waits_as_long_as_the_server_says(server: EmbeddingServer, form: str) -> None:
    begun = datetime.now(UTC)
    later = (begun + timedelta(seconds=2)).replace(microsecond=0)
    date = format_datetime(later, usegmt=True)
    server.script.append(status(429, Retry_After={"seconds": "1", "date": date}[form]))
    ask(client(server))
    assert datetime.now(UTC) >= {"seconds": begun + timedelta(seconds=1), "date": later}[form]


def test_a_wait_beyond_the_query_timeout_is_not_started(server: EmbeddingServer) -> None:
    server.script.append(status(503, Retry_After="3600"))
    with pytest.raises(ServerError, match="answered 503"):
        ask(client(server))
    assert len(server.requests) == 1


def test_retries_are_limited(server: EmbeddingServer) -> None:
    server.script.extend([status(503)] * 10)
    with pytest.raises(ServerError, match=r"answered 503: .*\(attempt 2\)"):
        ask(client(server, attempts=2))
    assert len(server.requests) == 2


@pytest.mark.parametrize("misdeed", [hang, drip], ids=["silent", "drips"])
def test_a_slow_server_takes_at_most_the_query_timeout(
    server: EmbeddingServer, misdeed: Misdeed
) -> None:
    server.script.extend([misdeed] * 3)
    with pytest.raises(ServerError, match="in time"):
        ask(client(server, query_timeout=0.4))
    assert not server.ended.is_set()


def test_documents_have_a_longer_timeout_than_queries(server: EmbeddingServer) -> None:
    server.delay = 0.5
    embedder = client(server, query_timeout=0.2, attempts=1)
    assert embedder.embed_documents([Content(text="red")]).shape == (1, 16)
    with pytest.raises(ServerError, match="in time"):
        ask(embedder)


def test_an_unreachable_server_is_named() -> None:
    with listening() as gone:
        address = gone.url
    embedder = OpenAICompatibleEmbedder(base_url=address, model="m", dimension=16)
    with pytest.raises(ServerError, match=f"{address}/embeddings cannot be reached: ConnectError"):
        ask(embedder)


# Wrong answers


@pytest.mark.parametrize(
    ("misdeed", "said"),
    [
        (rows([1.0] * 8), "vectors of 8 dimensions: set dimension=8"),
        (rows([1.0] * 15 + [float("nan")]), "zero or not finite"),
        (rows([1.0] * 15 + [float("inf")]), "zero or not finite"),
        (rows([0.0] * 16), "zero or not finite"),
        (rows(), "exactly one embedding"),
        (rows([1.0] * 16, [1.0] * 16), "exactly one embedding"),
        (raw(b'{"data": [{"embedding": [0.1, 0.2'), "something other than JSON"),
        (raw(b"<html>welcome</html>"), "something other than JSON"),
        (raw(b'{"data": [{"embedding": "AAAA"}]}'), "exactly one embedding"),
        (raw(b'{"data": [[1, 2]]}'), "exactly one embedding"),
        (raw(b'{"error": "no model"}'), "exactly one embedding"),
        (raw(b"[]"), "exactly one embedding"),
        (raw(b" " * (17 << 20)), "more than"),
        (status(400), "answered 400"),
        (status(401), "answered 401"),
        (status(404), "answered 404"),
    ],
)
def test_a_wrong_answer_is_an_error_at_once(
    server: EmbeddingServer, misdeed: Misdeed, said: str
) -> None:
    server.script.append(misdeed)
    with pytest.raises(ServerError, match=said):
        ask(client(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("length", [1e-300, 1e300])
def test_vectors_of_any_length_become_unit_vectors(server: EmbeddingServer, length: float) -> None:
    server.script.append(rows([length] * 16))
    np.testing.assert_allclose(ask(client(server)), [0.25] * 16, atol=1e-6)


def test_a_redirect_is_not_followed(server: EmbeddingServer) -> None:
    with listening() as other:
        server.script.append(status(307, Location=f"{other.url}/v1/embeddings"))
        with pytest.raises(ServerError, match="answered 307, a redirect"):
            ask(client(server, api_key=KEY))
        assert other.connections == 0
