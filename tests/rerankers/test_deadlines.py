"""A model in this process stops when its answer is no longer needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import pytest

from mmsearch_app.inference.content import ModelFailed
from mmsearch_app.inference.deadline import require_time, until
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.local import LocalVLM
from mmsearch_app.rerankers.replies.schemas import grades_form
from mmsearch_app.rerankers.vlm import Prompt
from tests.rerankers.kit import QUERIES, products

WORDS = Prompt(parts=("Grade the bags.",))


@pytest.fixture
def model(load: Callable[..., Any]) -> LocalVLM:
    loaded: LocalVLM = load("idefics3")
    loaded.warm_up()
    return loaded


@pytest.fixture
def passes(model: LocalVLM) -> Iterator[list[float]]:
    """The start times of the network's forward passes."""
    begun: list[float] = []
    network = model._model.network  # type: ignore[union-attr]
    handle = network.register_forward_pre_hook(lambda *_: begun.append(time.monotonic()))
    yield begun
    handle.remove()


def test_nothing_is_started_without_time_left(model: LocalVLM, passes: list[float]) -> None:
    reranker = VisionReranker(model=model, rounds=3)
    with until(time.monotonic() - 5), pytest.raises(ModelFailed, match="No time"):
        reranker.rerank(QUERIES["both"], products(5))
    with until(time.monotonic() - 5), pytest.raises(ModelFailed, match="No time"):
        model.score([WORDS], ["yes", "no"])
    assert passes == []


def test_a_reply_is_stopped_between_two_tokens(
    model: LocalVLM, passes: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_at_the_fifth() -> None:
        if len(passes) == 5:
            raise ModelFailed("time is up")

    monkeypatch.setattr("mmsearch_app.rerankers.local_network.require_time", stop_at_the_fifth)
    with pytest.raises(ModelFailed, match="time is up"):
        model.generate([WORDS], max_tokens=200, form=grades_form(9))
    assert len(passes) == 5


def test_no_batch_is_started_after_the_deadline(
    model: LocalVLM, passes: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_the_first() -> None:
        if passes:
            raise ModelFailed("time is up")

    monkeypatch.setattr("mmsearch_app.rerankers.local_network.require_time", stop_after_the_first)
    with pytest.raises(ModelFailed, match="time is up"):
        model.score([WORDS] * 9, ["yes", "no"])
    assert len(passes) == 1


def test_running_work_may_end_within_the_grace_period(model: LocalVLM) -> None:
    begun = time.monotonic()
    with until(begun - 1, grace=600):
        assert model.score([WORDS], ["yes", "no"])


def test_a_waiting_call_gives_up_at_the_deadline(model: LocalVLM, passes: list[float]) -> None:
    found: list[BaseException] = []
    ended = Event()

    def ask() -> None:
        try:
            with until(time.monotonic() + 0.2, grace=600):
                model.score([WORDS], ["yes", "no"])
        except ModelFailed as error:
            found.append(error)
        finally:
            ended.set()

    with model._lock:
        thread = Thread(target=ask)
        thread.start()
        assert ended.wait(300)
    thread.join()
    assert "busy until the deadline" in str(found[0])
    assert passes == []


def test_the_grace_period_is_limited() -> None:
    now = time.monotonic()
    with until(now - 2, grace=60):
        require_time()
    with until(now - 2, grace=1), pytest.raises(ModelFailed, match="No time"):
        require_time()
    require_time()
