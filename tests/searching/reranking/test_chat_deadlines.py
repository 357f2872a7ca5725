"""A call ends at its caller's deadline, however many prompts it has."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from PIL import Image

from mmsearch_app.inference.content import Content, ModelFailed
from mmsearch_app.inference.deadline import until
from mmsearch_app.rerankers.chat import ChatVLM
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.replies.schemas import grades_form
from tests.model_server import status
from tests.searching.reranking.chat_server import HELLO, ChatServer

Connect = Callable[..., ChatVLM]


def test_no_prompt_is_started_after_the_deadline(server: ChatServer, connect: Connect) -> None:
    server.delay = 0.3
    model = connect(concurrency=2, timeout=60)
    with until(time.monotonic() + 0.5), pytest.raises(ModelFailed):
        model.generate([HELLO] * 40, max_tokens=8)
    assert len(server.requests) <= 4  # two at a time, started at 0 and 0.3


def test_pairs_end_at_the_deadline_too(server: ChatServer, connect: Connect) -> None:
    server.delay, server.scores = 0.3, {"yes": -0.1, "no": -2.0}
    picture = Content(image=Image.new("RGB", (32, 32)), text="mug")
    reranker = VisionReranker(model=connect(logprobs=True, timeout=60), mode="pairs", reason=False)
    with until(time.monotonic() + 0.5), pytest.raises(ModelFailed):
        reranker.rerank(picture, [picture] * 40)
    assert len(server.requests) <= 8


def test_the_plain_request_after_a_refused_schema_has_only_the_time_that_is_left(
    server: ChatServer, connect: Connect
) -> None:
    server.delay = 0.6  # each of the two alone would be in time
    server.script.append(status(400))
    with pytest.raises(ModelFailed, match="in time"):
        connect(structured=True, timeout=1.0).generate([HELLO], max_tokens=8, form=grades_form(3))


def test_waiting_for_another_callers_probe_ends_at_the_deadline(
    server: ChatServer, connect: Connect
) -> None:
    model = connect(timeout=60)
    with (
        model._abilities._lock,
        until(time.monotonic() + 0.1),
        pytest.raises(ModelFailed, match="not found out in time"),
    ):
        model.generate([HELLO], max_tokens=8, form=grades_form(3))
    assert server.requests == []
