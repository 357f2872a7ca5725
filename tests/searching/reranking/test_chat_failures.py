"""Failures of a chat server: retries, limits, and no leaked secrets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from mmsearch_app.inference.content import ModelFailed
from mmsearch_app.inference.deadline import until
from mmsearch_app.rerankers.chat import ChatVLM
from tests.embedders.listener import listening
from tests.model_server import Misdeed, die, die_midway, drip, hang, raw, status
from tests.searching.reranking.chat_server import HELLO, ChatServer, say_hello

KEY = "sk-abc123"


PASSING: list[tuple[str, Misdeed]] = [
    ("429", status(429)),
    ("500", status(500)),
    ("503", status(503, Retry_After="0")),
    ("dies", die),
    ("dies midway", die_midway),
]


@pytest.mark.parametrize("misdeed", [m for _, m in PASSING], ids=[name for name, _ in PASSING])
def test_a_temporary_failure_is_retried(
    server: ChatServer, connect: Callable[..., ChatVLM], misdeed: Misdeed
) -> None:
    server.script.extend([misdeed, misdeed])
    assert say_hello(connect()) == "Good day."
    assert len(server.requests) == 3


def test_retry_after_is_respected(server: ChatServer, connect: Callable[..., ChatVLM]) -> None:
    server.script.append(status(429, Retry_After="1"))
    begun = time.monotonic()
    assert say_hello(connect()) == "Good day."
    assert time.monotonic() - begun >= 1.0


def test_a_retry_after_the_deadline_is_not_awaited(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    server.script.append(status(429, Retry_After="3600"))
    with pytest.raises(ModelFailed, match="429"):
        say_hello(connect())
    assert len(server.requests) == 1


@pytest.mark.parametrize("misdeed", [hang, drip], ids=["hangs", "drips"])
def test_a_slow_server_is_abandoned_at_the_timeout(
    server: ChatServer, connect: Callable[..., ChatVLM], misdeed: Misdeed
) -> None:
    server.script.append(misdeed)
    with pytest.raises(ModelFailed, match="in time"):
        say_hello(connect(timeout=0.3))


def test_a_call_ends_at_the_callers_deadline(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    server.script.append(hang)
    with until(time.monotonic() + 0.3), pytest.raises(ModelFailed, match="in time"):
        say_hello(connect(timeout=600))
    assert not server.ended.is_set()


def test_nothing_is_sent_without_time_left(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    with until(time.monotonic() - 1), pytest.raises(ModelFailed, match="No time"):
        say_hello(connect())
    assert server.requests == []


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_permanent_failure_is_not_retried(
    server: ChatServer, connect: Callable[..., ChatVLM], code: int
) -> None:
    server.script.append(status(code))
    with pytest.raises(ModelFailed, match=str(code)):
        say_hello(connect())
    assert len(server.requests) == 1


@pytest.mark.parametrize("misdeed", [status(401), status(500), die, raw(b"<html>")])
def test_the_key_is_in_no_message(
    server: ChatServer, connect: Callable[..., ChatVLM], misdeed: Misdeed
) -> None:
    model = connect(api_key=KEY, attempts=1)
    server.script.append(misdeed)
    with pytest.raises(ModelFailed) as caught:
        say_hello(model)
    assert KEY not in str(caught.value) + repr(caught.value.__cause__) + model.fingerprint


def test_redirects_are_not_followed(server: ChatServer, connect: Callable[..., ChatVLM]) -> None:
    with listening() as other:
        server.script.append(status(307, Location=f"{other.url}/v1/chat/completions"))
        with pytest.raises(ModelFailed, match="redirect"):
            say_hello(connect(api_key=KEY))
        assert other.connections == 0


NONSENSE: list[Any] = [
    b"",
    b"[]",
    b"null",
    b"{}",
    b'"hello"',
    b'{"choices": []}',
    b'{"choices": [{}]}',
    b'{"choices": [{"message": null}]}',
    b'{"choices": [{"message": {"content": null}}]}',
    b'{"choices": [{"message": {"content": 7}}]}',
    b'{"choices": [{"message": {"content": [7]}}]}',
    b'{"choices": {"message": "x"}}',
    b'{"choices": [{"message": {"content": "cut o',
    b"[" * 200_000,
]


@pytest.mark.parametrize("data", NONSENSE)
def test_a_malformed_answer_is_a_failure(
    server: ChatServer, connect: Callable[..., ChatVLM], data: bytes
) -> None:
    server.script.append(raw(data))
    with pytest.raises(ModelFailed):
        say_hello(connect())


def test_one_failure_ends_the_rest(server: ChatServer, connect: Callable[..., ChatVLM]) -> None:
    server.script.extend([status(404)] * 50)
    with pytest.raises(ModelFailed, match="404"):
        connect(concurrency=2).generate([HELLO] * 50, max_tokens=8)
    assert len(server.requests) < 20
