"""A forked child, as of gunicorn with --preload: indexing begins afresh in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mmsearch_app.indexing import ledger, loop, notify
from mmsearch_app.indexing.loop import WorkerLoop
from tests.forking import works_in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@pytest.fixture
def started(use: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerLoop]:
    """The worker thread of this process, which finds no work."""
    use(WORKER_THREAD=True)
    monkeypatch.setattr(WorkerLoop, "turn", lambda _: False)
    monkeypatch.setattr(notify, "listeners", [])
    loop._on_request()
    running = loop._thread_of_this_process()
    yield running
    (thread,) = workers()
    loop._end(running, thread)
    loop._thread_of_this_process.cache_clear()


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mmsearch-worker"]


def test_a_child_starts_a_worker_thread_of_its_own(started: WorkerLoop) -> None:
    def start() -> bool:
        before = workers()
        loop._on_request()
        mine = loop._thread_of_this_process()
        return (len(before), len(workers())) == (0, 1) and mine is not started

    assert works_in_child(start)
    assert len(workers()) == 1


def test_a_child_does_not_wake_its_parents_thread(started: WorkerLoop) -> None:
    assert notify.listeners == [started.wake]
    assert works_in_child(lambda: notify.listeners == [])


def test_a_child_starts_its_thread_while_the_parent_starts_one(started: WorkerLoop) -> None:
    def start() -> bool:
        loop._on_request()
        return len(workers()) == 1

    with loop._starting:
        assert works_in_child(start)


def test_a_child_can_mark_while_another_thread_of_the_parent_marks_in_a_pause(db: None) -> None:
    def mark() -> bool:
        return ledger.mark_rows("a.source", [1]) == 1

    with ledger.paused(), ledger._pausing:
        assert works_in_child(mark)
