"""Concurrent queries are batched while the embedder is busy, and never mixed up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from django.test import override_settings

from mmsearch_app.backends import get_batcher, get_embedder
from mmsearch_app.embedders.batching import Batcher
from mmsearch_app.inference.content import Content
from mmsearch_app.testing import IN_MEMORY, TestingEmbedder
from tests.waiting import until


class Gated:
    """Records its runs, each of which waits for `gate`. The words "bad" make a run fail."""

    dimension = TestingEmbedder.dimension
    fingerprint = "gated"

    def __init__(self, *, opened: bool = False) -> None:
        self.model = TestingEmbedder()
        self.runs: list[list[str | None]] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(10_000 if opened else 0)

    def embed_documents(self, contents: Sequence[Content]) -> Any:
        return self.model.embed_documents(contents)

    def embed_queries(self, contents: Sequence[Content]) -> Any:
        self.runs.append([content.text for content in contents])
        self.begun.release()
        assert self.gate.acquire(timeout=120)
        for content in contents:
            if content.text and "bad" in content.text:
                raise ValueError(content.text)
        return self.model.embed_queries(contents)


class Crowd:
    """Callers in separate threads, started one after the other."""

    def __init__(self, embedder: Any, **options: Any) -> None:
        self.embedder = embedder
        self.batcher = Batcher(embedder, **({"most": 16, "seconds": 120.0} | options))
        self.pool = ThreadPoolExecutor(32)

    def ask(self, *texts: str) -> Future[Any]:
        contents = [Content(text=text) for text in texts]
        return self.pool.submit(self.batcher.embed_queries, contents)

    def ask_first(self, text: str) -> Future[Any]:
        """Start a caller and return when its query is being embedded."""
        asked = self.ask(text)
        assert self.embedder.begun.acquire(timeout=120)
        return asked

    def ask_waiting(self, *texts: str) -> list[Future[Any]]:
        """Start one caller per query and return when all of them wait, in this order."""
        asked = []
        for text in texts:
            count = len(self.batcher._waiting)
            asked.append(self.ask(text))
            self.wait_for(count + 1)
        return asked

    def wait_for(self, count: int) -> None:
        """Return when as many queries wait."""
        until(lambda: len(self.batcher._waiting) == count)


def expected(*texts: str) -> Any:
    return TestingEmbedder().embed_queries([Content(text=text) for text in texts])


def test_a_single_query_is_not_delayed() -> None:
    crowd = Crowd(Gated(opened=True), seconds=0.0)  # a query that waits at all fails
    for _ in range(100):
        crowd.batcher.embed_queries([Content(text="mug")])
    assert crowd.embedder.runs == [["mug"]] * 100


def test_queries_that_arrive_meanwhile_form_the_next_batch() -> None:
    crowd = Crowd(Gated())
    asked = [crowd.ask_first("a"), *crowd.ask_waiting("b", "c", "d")]
    crowd.embedder.gate.release(2)
    for text, future in zip("abcd", asked, strict=True):
        np.testing.assert_array_equal(future.result(120), expected(text))
    assert crowd.embedder.runs == [["a"], ["b", "c", "d"]]


def test_a_batch_is_never_larger_than_allowed() -> None:
    crowd = Crowd(Gated(), most=2)
    asked = [crowd.ask_first("a"), *crowd.ask_waiting("b", "c", "d")]
    crowd.embedder.gate.release(3)
    assert all(future.result(120) is not None for future in asked)
    assert crowd.embedder.runs == [["a"], ["b", "c"], ["d"]]


def test_a_call_with_more_than_the_limit_is_a_batch_of_its_own() -> None:
    crowd = Crowd(Gated(opened=True), most=2)
    np.testing.assert_array_equal(crowd.ask("a", "b", "c").result(120), expected("a", "b", "c"))
    assert crowd.embedder.runs == [["a", "b", "c"]]


def test_an_error_reaches_only_the_caller_that_caused_it() -> None:
    crowd = Crowd(Gated(opened=True))
    crowd.embedder.gate = threading.Semaphore(0)
    first = crowd.ask_first("a")
    good, bad, fine = crowd.ask_waiting("good", "bad", "fine")
    crowd.embedder.gate.release(10)
    np.testing.assert_array_equal(first.result(120), expected("a"))
    np.testing.assert_array_equal(good.result(120), expected("good"))
    np.testing.assert_array_equal(fine.result(120), expected("fine"))
    with pytest.raises(ValueError, match=r"^bad$"):
        bad.result(120)
    assert crowd.embedder.runs[:2] == [["a"], ["good", "bad", "fine"]]
    assert sorted(crowd.embedder.runs[2:]) == [["bad"], ["fine"], ["good"]]


def test_an_error_of_a_single_query_is_raised_without_a_retry() -> None:
    crowd = Crowd(Gated(opened=True))
    with pytest.raises(ValueError, match="bad"):
        crowd.batcher.embed_queries([Content(text="bad")])
    assert crowd.embedder.runs == [["bad"]]
    np.testing.assert_array_equal(crowd.ask("good").result(120), expected("good"))


def test_too_few_vectors_are_never_returned() -> None:
    class Short(Gated):
        def embed_queries(self, contents: Sequence[Content]) -> Any:
            return super().embed_queries(contents)[: 1 if len(contents) > 1 else None]

    crowd = Crowd(Short())
    asked = [crowd.ask_first("a"), *crowd.ask_waiting("b", "c")]
    crowd.embedder.gate.release(10)
    for text, future in zip("abc", asked, strict=True):
        np.testing.assert_array_equal(future.result(120), expected(text))


def test_a_query_that_waits_too_long_fails_and_leaves_the_queue() -> None:
    crowd = Crowd(Gated(), seconds=0.05)
    first = crowd.ask_first("a")
    late = crowd.ask("late")
    with pytest.raises(TimeoutError, match=r"busy with other queries for 0\.05 seconds"):
        late.result(120)
    crowd.embedder.gate.release(1)
    assert first.result(120) is not None
    assert crowd.embedder.runs == [["a"]]
    assert not crowd.batcher._waiting


def test_an_interrupted_leader_does_not_block_the_other_callers() -> None:
    class Interrupted(Gated):
        def embed_queries(self, contents: Sequence[Content]) -> Any:
            vectors = super().embed_queries(contents)
            if len(self.runs) == 1:
                raise KeyboardInterrupt
            return vectors

    crowd = Crowd(Interrupted())
    first = crowd.ask_first("a")
    (second,) = crowd.ask_waiting("b")
    crowd.embedder.gate.release(10)
    with pytest.raises(KeyboardInterrupt):
        first.result(120)
    np.testing.assert_array_equal(second.result(120), expected("b"))


def test_many_threads_get_their_own_vectors() -> None:
    class Slow(TestingEmbedder):
        runs = 0

        def embed_queries(self, contents: Sequence[Content]) -> Any:
            self.runs += 1
            if self.runs == 1:
                until(lambda: len(crowd.batcher._waiting) > 16)
            time.sleep(0.002)
            return super().embed_queries(contents)

    crowd = Crowd(Slow())
    texts = [f"word{number} and more" for number in range(300)]
    asked = [crowd.ask(text) for text in texts]
    for text, future in zip(texts, asked, strict=True):
        np.testing.assert_array_equal(future.result(120), expected(text))
    assert crowd.embedder.runs <= 300 - 15  # the second run has sixteen


def test_an_embedder_that_batches_itself_is_called_directly() -> None:
    class Server(Gated):
        batches_itself = True

    crowd = Crowd(Server())
    asked = [crowd.ask_first("a"), crowd.ask_first("b")]
    crowd.embedder.gate.release(2)
    assert all(future.result(120) is not None for future in asked)
    assert sorted(crowd.embedder.runs) == [["a"], ["b"]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_threads() -> None:
    crowd = Crowd(Gated())
    first = crowd.ask_first("a")
    child = os.fork()
    if child == 0:
        crowd.embedder.gate = threading.Semaphore(10)
        vectors = crowd.batcher.embed_queries([Content(text="b")])
        os._exit(0 if np.array_equal(vectors, expected("b")) else 1)
    deadline, status = time.monotonic() + 120, None
    while status is None and time.monotonic() < deadline:
        done, code = os.waitpid(child, os.WNOHANG)
        status = code if done else None
        time.sleep(0.01)
    crowd.embedder.gate.release(1)
    assert first.result(120) is not None
    if status is None:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert status == 0


def test_the_batcher_is_built_once_with_the_configured_embedder() -> None:
    with override_settings(MMSEARCH={**IN_MEMORY, "QUERY_BATCH": 5, "QUERY_SECONDS": 2.0}):
        batcher = get_batcher()
        assert batcher is get_batcher()
        assert batcher.embedder is get_embedder()
        assert (batcher.most, batcher.seconds) == (5, 2.0)
    assert get_batcher().most == 16
