"""A forked child, as of gunicorn with --preload: indexing begins afresh in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mmsearch_app.indexing import give_back_all, loop, marks, notify
from mmsearch_app.indexing.loop import WorkerLoop
from mmsearch_app.indexing.overlap import call_model
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry
from tests.forking import leave_connections, works_in_child
from tests.shop import EmbedderWithMoods, Sell

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
        return marks.mark_rows("a.source", [1]) == 1

    with marks.paused(), marks._pausing:
        assert works_in_child(mark)


@pytest.mark.django_db(transaction=True)
def test_what_a_child_marks_is_not_lost_in_its_parents_pause() -> None:
    def mark() -> bool:
        leave_connections()
        marks.mark_rows("a.source", [1])
        with marks.paused():
            marks.mark_rows("a.source", [2])
        return True

    with marks.paused():
        assert Entry.objects.count() == 0  # opens the parent's connection
        marks.mark_rows("a.source", [3])
        assert works_in_child(mark)
        assert sorted(Entry.objects.values_list("object_pk", flat=True)) == ["1", "2"]
    assert Entry.objects.count() == 3


def test_a_child_that_leaves_its_parents_pause_does_not_write_the_parents_marks(
    transactional_db: None,
) -> None:
    parent = os.getpid()

    def pause() -> None:
        with marks.paused():
            assert Entry.objects.count() == 0  # opens the parent's connection
            marks.mark_rows("a.source", [1])
            if not os.fork():
                leave_connections()
                return
            os.wait()
            assert Entry.objects.count() == 0

    pause()
    if os.getpid() != parent:
        os._exit(0)
    assert Entry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_child_of_a_working_worker_has_lanes_and_leases_of_its_own(
    sell: Sell, embedder: EmbedderWithMoods
) -> None:
    sell()
    worked: list[bool] = []

    def work_in_child() -> bool:
        leave_connections()
        threads = call_model(threading.current_thread), threading.current_thread()
        return threads[0] is not threads[1] and give_back_all() == 0

    embedder.before = lambda: worked.append(works_in_child(work_in_child))
    assert drain().indexed == 1
    assert worked == [True]
    assert Entry.objects.filter(lease_until__isnull=False).count() == 0
