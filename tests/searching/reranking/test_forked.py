"""A forked child, as with gunicorn --preload, does not wait for its parent's threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mmsearch_app import backends
from mmsearch_app.rerankers.chat import Abilities, ChatVLM
from mmsearch_app.rerankers.local import LocalVLM
from mmsearch_app.searching.guard import Guard, get_guard
from tests.forking import works_in_child
from tests.searching.reranking.guarding import fill, run
from tests.waiting import until

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def test_a_guard_starts_empty_after_a_fork(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=1, queue=1, pause=60)
    fill(guard, start, gate, 2)
    guard._circuit._failures = 2
    with guard._lock:
        assert works_in_child(
            lambda: (
                guard.load().under_way == guard.load().failures == 0
                and run(guard, "a", lambda: 42) == 42
            )
        )
    assert guard.load().under_way == 2


def test_a_child_can_rerank_while_all_calls_of_its_parent_hang(
    gate: threading.Event, start: Any
) -> None:
    guard: Guard[Any] = get_guard()
    fill(guard, start, gate, guard.places + guard.queue)
    assert works_in_child(lambda: run(get_guard(), "a", lambda: 42) == 42)
    gate.set()
    until(lambda: not guard._calls)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Abilities(structured=None),
        lambda: LocalVLM(model="nobody/nothing"),
        lambda: ChatVLM(base_url="http://127.0.0.1:1/v1", model="m").endpoint,
    ],
    ids=["abilities", "local model", "endpoint"],
)
def test_a_lock_that_another_thread_holds_is_free(made: Callable[[], Any]) -> None:
    held = made()
    with held._lock:
        assert works_in_child(lambda: held._lock.acquire(timeout=60))


def test_parts_can_be_built_while_the_parent_builds() -> None:
    at_work, end = threading.Event(), threading.Event()

    def build() -> None:
        with backends._building:
            at_work.set()
            end.wait(60)

    thread = threading.Thread(target=build)
    thread.start()
    at_work.wait(60)
    try:
        assert works_in_child(lambda: backends._building.acquire(timeout=60))
    finally:
        end.set()
        thread.join()
