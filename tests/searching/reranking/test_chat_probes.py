"""The abilities of a chat server are probed once."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from mmsearch_app.inference.content import ModelFailed
from mmsearch_app.rerankers.chat import ChatVLM
from mmsearch_app.rerankers.replies.schemas import grades_form, ranking_form
from tests.model_server import die, status
from tests.searching.reranking.chat_server import HELLO, ChatServer, is_schema_probe


def test_a_server_that_follows_schemas_gets_the_nested_format(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    connect().generate([HELLO], max_tokens=8, form=grades_form(3))
    probe, body = server.requests
    assert is_schema_probe(probe)
    described = body["response_format"]
    assert described["type"] == "json_schema"
    assert described["json_schema"]["strict"] is True
    assert described["json_schema"]["schema"]["required"] == ["A", "B", "C", "reason"]


def test_a_server_that_ignores_schemas_is_detected_once(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    server.structured = False
    model = connect()
    for _ in range(3):
        model.generate([HELLO], max_tokens=8, form=grades_form(3))
    assert [is_schema_probe(body) for body in server.requests] == [True, False, False, False]
    assert all("response_format" not in body for body in server.asked)


@pytest.mark.parametrize("code", [400, 422, 501])
def test_a_server_that_refuses_schemas_is_detected_once(
    server: ChatServer, connect: Callable[..., ChatVLM], code: int
) -> None:
    server.script.append(status(code))
    model = connect()
    for _ in range(2):
        assert model.generate([HELLO], max_tokens=8, form=grades_form(3)) == ["Good day."]
    assert len(server.requests) == 3
    assert all("response_format" not in body for body in server.asked)


def test_a_server_that_fails_on_schemas_is_called_without_and_probed_again_later(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    server.script.append(status(500))
    model = connect(attempts=1)
    assert model.generate([HELLO], max_tokens=8, form=grades_form(3)) == ["Good day."]
    assert "response_format" not in server.asked[-1]
    model.generate([HELLO], max_tokens=8, form=grades_form(3))
    assert "response_format" in server.asked[-1]


def test_a_schema_that_the_server_refuses_is_omitted_from_then_on(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    model = connect(structured=True)
    server.script.append(status(400))
    for _ in range(2):
        assert model.generate([HELLO], max_tokens=8, form=grades_form(3)) == ["Good day."]
    assert ["response_format" in body for body in server.requests] == [True, False, False]
    model.generate([HELLO], max_tokens=8, form=ranking_form(3))
    assert "response_format" in server.requests[-1]


def test_a_prompt_that_is_always_refused_says_nothing_about_schemas(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    model = connect(structured=True)
    server.script.extend([status(400), status(400)])
    with pytest.raises(ModelFailed, match="400"):
        model.generate([HELLO], max_tokens=8, form=grades_form(3))
    model.generate([HELLO], max_tokens=8, form=grades_form(3))
    assert "response_format" in server.requests[-1]


@pytest.mark.parametrize("structured", [None, True])
def test_a_negative_probe_expires_after_some_minutes(
    server: ChatServer,
    connect: Callable[..., ChatVLM],
    monkeypatch: pytest.MonkeyPatch,
    structured: bool | None,
) -> None:
    monkeypatch.setattr("mmsearch_app.rerankers.chat_abilities.FORGET_SECONDS", 0.0)
    model = connect(structured=structured)
    server.script.append(status(400))
    for _ in range(2):
        model.generate([HELLO], max_tokens=8, form=grades_form(3))
    assert "response_format" not in server.requests[1]
    assert "response_format" in server.requests[-1]


def test_a_configured_negative_does_not_expire(
    server: ChatServer, connect: Callable[..., ChatVLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsearch_app.rerankers.chat_abilities.FORGET_SECONDS", 0.0)
    connect(structured=False).generate([HELLO], max_tokens=8, form=grades_form(3))
    assert not any("response_format" in body for body in server.requests)


def test_an_unavailable_server_is_not_remembered_as_unable(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    model = connect(attempts=1)
    server.script.append(die)
    with pytest.raises(ModelFailed):
        model.generate([HELLO], max_tokens=8, form=grades_form(3))
    model.generate([HELLO], max_tokens=8, form=grades_form(3))
    assert "response_format" in server.asked[-1]


def test_replies_are_never_treated_as_complete_by_construction(
    connect: Callable[..., ChatVLM],
) -> None:
    assert connect(structured=True).capabilities.constrained is False


@pytest.mark.parametrize("scores", [None, {"yes": -0.1, "no": -2.5}])
def test_log_probabilities_are_probed_once(
    server: ChatServer, connect: Callable[..., ChatVLM], scores: dict[str, float] | None
) -> None:
    server.scores = scores
    model = connect()
    assert [model.capabilities.logits for _ in range(3)] == [scores is not None] * 3
    assert len(server.requests) == 1


def test_words_get_the_log_probability_of_their_likeliest_first_token(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    server.scores = {" A": -0.5, "A": -3.0, "▁B": -1.0, "Q": -0.1}
    (row,) = connect().score([HELLO], ["A", "B", "C"])
    assert row == (-0.5, -1.0, -math.inf)


def test_a_token_that_starts_two_words_counts_for_neither(
    server: ChatServer, connect: Callable[..., ChatVLM]
) -> None:
    server.scores = {"t": -0.1, "tru": -1.0, "": -0.2}
    assert connect().score([HELLO], ["true", "tight"]) == [(-1.0, -math.inf)]


def test_the_same_word_twice_is_refused(connect: Callable[..., ChatVLM]) -> None:
    with pytest.raises(ValueError, match="differ"):
        connect().score([HELLO], ["yes", "yes"])


def test_scores_that_are_missing_are_a_failure(connect: Callable[..., ChatVLM]) -> None:
    with pytest.raises(ModelFailed, match="log-probabilities"):
        connect(logprobs=True).score([HELLO], ["yes", "no"])
