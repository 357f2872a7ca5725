"""Servers that refuse optional fields are asked again without them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder
from mmsearch_app.inference import fields
from mmsearch_app.inference.content import Content, ModelFailed
from mmsearch_app.inference.endpoint import ServerError
from mmsearch_app.rerankers.chat import ChatVLM
from mmsearch_app.rerankers.replies.schemas import grades_form
from mmsearch_app.rerankers.vlm import Prompt
from tests.model_server import Answer, Body, ModelServer, serve

HELLO = Prompt(parts=("Hello.",))
Write = Callable[[str], tuple[bytes, str]]


def openai(name: str) -> tuple[bytes, str]:
    said = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead."
        if name == "max_tokens"
        else f"Unsupported value: '{name}' does not support 0 with this model. Only the default "
        "(1) value is supported."
    )
    error = {"message": said, "type": "invalid_request_error", "param": name, "code": "unsupported"}
    return json.dumps({"error": error}).encode(), "application/json"


def without_param(name: str) -> tuple[bytes, str]:
    return json.dumps({"error": f"unknown field `{name}`"}).encode(), "application/json"


def pydantic(name: str) -> tuple[bytes, str]:
    """Repeats the whole request, as FastAPI does."""
    echo = {"model": "m", "temperature": 0, "max_tokens": 8, "seed": 1, "logprobs": True}
    problem = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs", "input": 1}
    wrong = {"detail": [problem], "body": echo}
    return json.dumps(wrong).encode(), "application/json"


def problem(name: str) -> tuple[bytes, str]:
    said = {"type": "about:blank", "title": "Bad Request", "invalid-params": [{"name": name}]}
    return json.dumps(said).encode(), "application/problem+json"


def plain(name: str) -> tuple[bytes, str]:
    return f"{name}: not allowed here".encode(), "text/plain"


def html(name: str) -> tuple[bytes, str]:
    page = f'<html><body class="temperature-free"><h1>Error</h1>&#39;{name}&#39; unknown</body>'
    return page.encode(), "text/html"


WRITERS: dict[str, Write] = {
    "openai": openai,
    "message": without_param,
    "pydantic": pydantic,
    "problem": problem,
    "plain": plain,
    "html": html,
}


@dataclass(kw_only=True)
class Picky(ModelServer):
    """Refuses requests with one of the fields in `refused`, the first of them by name."""

    path: ClassVar[str] = "/v1/chat/completions"
    refused: set[str] = field(default_factory=set)
    code: int = 400
    write: Write = openai

    def answer(self, body: Body) -> Body:
        choice: Body = {"message": {"content": "Good day."}}
        if body.get("logprobs"):
            top = [{"token": "yes", "logprob": -0.5}]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return {"choices": [choice]}

    def refuse(self, answer: Answer) -> None:
        body = self.requests[-1]
        for name in body:
            if name in self.refused:
                data, kind = self.write(name)
                answer.send_bytes(self.code, data, Content_Type=kind)
                return
        answer.send_json(200, self.answer(body))


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "_refused", {})


@pytest.fixture
def picky() -> Iterator[Picky]:
    with serve(Picky()) as served:
        served.script.extend([served.refuse] * 200)
        yield served


def connect(picky: Picky, **options: Any) -> ChatVLM:
    given: dict[str, Any] = {"model": "m", "structured": False, "logprobs": False}
    return ChatVLM(base_url=picky.base_url, **(given | options))


def say_hello(model: ChatVLM) -> str:
    return model.generate([HELLO], max_tokens=8)[0]


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("code", [400, 403, 404, 415, 422, 501])
@pytest.mark.parametrize("name", ["temperature", "seed", "chat_template_kwargs", "guided_json"])
def test_a_refused_field_is_left_out_and_that_is_remembered(
    picky: Picky, name: str, code: int, write: Write
) -> None:
    picky.refused, picky.code, picky.write = {name}, code, write
    extra = {"seed": 1, "chat_template_kwargs": {"enable_thinking": False}, "guided_json": {}}

    for _ in range(2):
        assert say_hello(connect(picky, extra=extra)) == "Good day."

    assert [name in body for body in picky.requests] == [True, False, False]
    others = {"temperature", "max_tokens", *extra} - {name}
    assert others <= set(picky.requests[-1])


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_the_limit_of_tokens_is_renamed(picky: Picky, write: Write) -> None:
    picky.refused, picky.write = {"max_tokens"}, write

    assert say_hello(connect(picky)) == "Good day."

    assert picky.requests[-1]["max_completion_tokens"] == 8
    assert "max_tokens" not in picky.requests[-1]


def test_a_limit_of_tokens_that_is_refused_by_both_names_is_left_out(picky: Picky) -> None:
    picky.refused, picky.write = {"max_tokens", "max_completion_tokens"}, plain

    for _ in range(2):
        assert say_hello(connect(picky)) == "Good day."

    assert len(picky.requests) == 4
    assert not {"max_tokens", "max_completion_tokens"} & set(picky.requests[-1])


def test_several_refused_fields_are_left_out_one_by_one(picky: Picky) -> None:
    picky.refused = {"max_tokens", "temperature", "stream", "seed"}

    assert say_hello(connect(picky, extra={"seed": 1})) == "Good day."

    sizes = [len(body) for body in picky.requests]
    assert sizes == [6, 6, 5, 4, 3]
    assert set(picky.requests[-1]) == {"model", "messages", "max_completion_tokens"}


def test_fewer_log_probabilities_are_asked_for_before_none(picky: Picky) -> None:
    def refuse(answer: Answer) -> None:
        body = picky.requests[-1]
        if body.get("top_logprobs", 0) > 5:
            answer.send_json(400, {"error": {"message": "top_logprobs must be at most 5"}})
        else:
            answer.send_json(200, picky.answer(body))

    picky.script.clear()
    picky.script.extend([refuse] * 9)

    assert connect(picky, logprobs=True).score([HELLO], ["yes", "no"])[0][0] == -0.5
    assert picky.requests[-1]["top_logprobs"] == 5


@pytest.mark.parametrize("code", [403, 404])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_schema_that_is_refused_by_another_status_is_left_out(
    picky: Picky, code: int, write: Write
) -> None:
    picky.refused, picky.code, picky.write = {"response_format"}, code, write
    model = connect(picky, structured=None)

    for _ in range(2):
        assert model.generate([HELLO], max_tokens=8, form=grades_form(3)) == ["Good day."]

    assert ["response_format" in body for body in picky.requests] == [True, False, False]


def test_an_answer_about_parameters_in_general_is_one_about_the_schema(picky: Picky) -> None:
    picky.refused, picky.code = {"response_format"}, 404
    picky.write = lambda _: (b"No endpoints found that can handle the requested parameters.", "")

    model = connect(picky, structured=None)

    assert model.generate([HELLO], max_tokens=8, form=grades_form(3)) == ["Good day."]


ABOUT_OTHER_THINGS = [
    (401, {"error": {"message": "Incorrect API key provided."}}, "Check the key"),
    (403, {"error": {"message": "You may not use this model."}}, "allowed to use this model"),
    (404, {"error": {"message": "The model `m` does not exist.", "param": "model"}}, "name of the"),
    (404, {"detail": "Not Found"}, "Check base_url"),
    (400, {"error": {"message": "temperature-v2 is no model", "param": "model"}}, "no model"),
    (
        400,
        {"error": {"message": "Your words 'temperature' were refused", "param": "messages"}},
        "400",
    ),
    (400, {"detail": [{"loc": ["body", "messages"], "input": {"temperature": 0}}]}, "400"),
    (413, {"error": {"message": "temperature too large"}}, "413"),
]


@pytest.mark.parametrize(("code", "said", "hint"), ABOUT_OTHER_THINGS)
def test_an_error_about_anything_else_is_raised_at_once(
    picky: Picky, code: int, said: Body, hint: str
) -> None:
    picky.script.clear()
    picky.script.extend([lambda answer: answer.send_json(code, said)] * 9)

    with pytest.raises(ModelFailed, match=re.escape(hint)):
        say_hello(connect(picky))

    assert len(picky.requests) == 1


def test_a_server_that_refuses_everything_is_not_asked_for_ever(picky: Picky) -> None:
    picky.refused = {"model", "messages", "max_tokens", "temperature", "stream", "seed"}

    def refuse(answer: Answer) -> None:
        name = list(picky.requests[-1])[-1]
        answer.send_json(400, {"error": f"{name} is unknown"})

    picky.script.clear()
    picky.script.extend([refuse] * 99)

    with pytest.raises(ModelFailed, match="400"):
        say_hello(connect(picky, extra={"seed": 1}))

    assert len(picky.requests) <= 7


def test_what_did_not_help_is_not_remembered(picky: Picky) -> None:
    wrong = {"error": {"message": "temperature: not supported"}}
    picky.script.clear()
    picky.script.append(lambda answer: answer.send_json(400, wrong))
    picky.script.extend([lambda answer: answer.send_json(401, {"error": "key"})])
    with pytest.raises(ModelFailed, match="401"):
        say_hello(connect(picky))

    say_hello(connect(picky))

    assert "temperature" in picky.requests[-1]


def test_another_model_at_the_same_address_is_asked_with_all_fields(picky: Picky) -> None:
    picky.refused = {"temperature"}
    say_hello(connect(picky))
    picky.refused = set()

    say_hello(connect(picky, model="n"))

    assert "temperature" in picky.requests[-1]


def test_a_refusal_is_forgotten_after_some_time(
    picky: Picky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fields, "REFUSAL_SECONDS", 0.0)
    picky.refused = {"temperature"}
    say_hello(connect(picky))
    picky.refused = set()

    say_hello(connect(picky))

    assert "temperature" in picky.requests[-1]


def test_asking_again_ends_at_the_deadline(picky: Picky) -> None:
    picky.refused, picky.delay = {"temperature", "max_tokens", "stream"}, 0.25

    with pytest.raises(ModelFailed):
        say_hello(connect(picky, timeout=0.4))

    assert len(picky.requests) <= 3


@dataclass(kw_only=True)
class PickyEmbedding(Picky):
    path: ClassVar[str] = "/v1/embeddings"

    def answer(self, body: Body) -> Body:
        return {"data": [{"embedding": [3.0, 4.0]}]}


@pytest.mark.parametrize("name", ["encoding_format", "dimensions"])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_embedding_servers_are_asked_without_what_they_refuse(name: str, write: Write) -> None:
    with serve(PickyEmbedding(refused={name}, code=422, write=write)) as served:
        served.script.extend([served.refuse] * 9)
        embedder = OpenAICompatibleEmbedder(
            base_url=served.base_url, model="m", dimension=2, extra={"dimensions": 2, "task": "q"}
        )
        for _ in range(2):
            found = embedder.embed_queries([Content(text="red")])
            np.testing.assert_allclose(found, [[0.6, 0.8]])
        assert [name in body for body in served.requests] == [True, False, False]


def test_a_field_that_changes_vectors_is_never_left_out() -> None:
    with serve(PickyEmbedding(refused={"task"})) as served:
        served.script.extend([served.refuse] * 9)
        embedder = OpenAICompatibleEmbedder(
            base_url=served.base_url, model="m", dimension=2, extra={"task": "query"}
        )
        with pytest.raises(ServerError, match="task"):
            embedder.embed_queries([Content(text="red")])
        assert len(served.requests) == 1
