"""Pokes start one task at a time; shifts end and lose nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mmsearch_app.contrib import queue as shifts_module
from mmsearch_app.contrib.queue import WORKING, QueueFlag, Shifts
from mmsearch_app.indexing.rebuild import request_rebuild
from mmsearch_app.models import Entry, Rebuild, State
from tests.shop import EmbedderWithMoods, Sell

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shared_cache")]


class Queue(Shifts):
    """Keeps its messages in a list, like a broker without workers."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        super().__init__(queue="tests", enqueue=lambda: self.sent.append("drain"))


@pytest.fixture
def queue() -> Queue:
    return Queue()


def waiting() -> int:
    return Entry.objects.filter(state=State.PENDING).count()


def test_a_burst_of_calls_sends_one_message(queue: Queue) -> None:
    for _ in range(50):
        queue.wake()
    assert queue.sent == ["drain"]


def test_the_processes_of_a_shop_send_one_message_together() -> None:
    queues = [Queue(), Queue()]
    for queue in queues:
        queue.wake()
    assert [queue.sent for queue in queues] == [["drain"], []]


def test_a_call_after_the_shift_sends_again(queue: Queue, sell: Sell) -> None:
    sell()
    queue.wake()
    assert queue.work().startswith("1 indexed")
    queue.wake()
    assert queue.sent == ["drain", "drain"]


def test_a_save_during_a_shift_sends_nothing_and_is_indexed_by_it(
    queue: Queue, sell: Sell, embedder: EmbedderWithMoods
) -> None:
    def save_another() -> None:
        embedder.before = None
        sell("blue mug")
        queue.wake()

    embedder.before = save_another
    sell()
    queue.work()
    assert (queue.sent, waiting()) == ([], 0)


def test_a_save_at_the_end_of_a_shift_is_not_lost(queue: Queue, sell: Sell) -> None:
    class Late(QueueFlag):
        def clear(self) -> None:
            sell()
            queue.wake()
            assert queue.sent == []  # the flag is still up
            super().clear()

    queue.flag = Late(key=queue.flag.key)
    queue.work()
    assert waiting() == 0


def test_a_shift_starts_another_one_until_nothing_is_due(
    queue: Queue, sell: Sell, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(BATCH_SIZE=1)
    monkeypatch.setattr("mmsearch_app.indexing.loop._TURN_SECONDS", 0)
    sell(pictures=3)
    left = []
    queue.sent.append("drain")
    while queue.sent:
        queue.sent.pop()
        queue.work(seconds=0)
        left.append(waiting())
    assert left == [2, 1, 0, 0]


def test_a_shift_ends_if_another_one_is_running(queue: Queue, sell: Sell) -> None:
    sell()
    queue.flag.write(WORKING)
    assert queue.work() == "Another shift is at work."
    assert waiting() == 1


def test_an_outage_of_the_model_ends_the_shift_and_sends_nothing(
    queue: Queue, sell: Sell, embedder: EmbedderWithMoods
) -> None:
    sell()
    embedder.down = True
    assert "stopped" in queue.work()
    assert (queue.sent, waiting()) == ([], 1)


def test_a_shift_advances_a_rebuild_for_the_next_one_to_continue(
    queue: Queue, sell: Sell, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(BATCH_SIZE=1)
    sell(pictures=3)
    queue.work()
    monkeypatch.setattr("mmsearch_app.indexing.loop._TURN_SECONDS", 0)
    row = request_rebuild()
    done = []
    while row.open:
        queue.sent.clear()
        queue.work(seconds=0)
        row.refresh_from_db()
        done.append((row.done, row.total))
        assert row.lease_until is None
    assert (done[:2], done[-1]) == ([(1, 3), (2, 3)], (3, 3))
    assert not Rebuild.objects.filter(open=True).exists()


def test_an_unavailable_queue_raises_nothing_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise ConnectionError("nobody listens")

    queue = Shifts(queue="tests", enqueue=fail)
    caplog.set_level(logging.INFO, logger=shifts_module.__name__)
    for _ in range(3):
        queue.wake()
        queue.flag.clear()
        queue._silent_until = 0.0
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "nobody listens" in caplog.text


def test_after_a_failure_nothing_is_sent_for_a_while() -> None:
    tried: list[int] = []

    def fail() -> None:
        tried.append(1)
        raise ConnectionError

    queue = Shifts(queue="tests", enqueue=fail)
    for _ in range(3):
        queue.wake()
        queue.flag.clear()
    assert tried == [1]


def test_with_a_cache_of_one_process_every_call_is_sent(queue: Queue, settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    queue.wake()
    queue.wake()
    assert queue.sent == ["drain", "drain"]


def test_without_its_cache_a_shop_still_sends_and_works(
    queue: Queue, settings: Any, sell: Sell
) -> None:
    sell()
    settings.CACHES = {"default": {"BACKEND": "tests.contrib.test_queue.CacheThatIsAway"}}
    queue.wake()
    queue.wake()
    assert queue.sent == ["drain", "drain"]
    assert queue.work().startswith("1 indexed")


class CacheThatIsAway:
    """Every call fails, as if no server listened."""

    def __init__(self, location: str, options: dict[str, Any]) -> None:
        """Accept the arguments that Django passes."""

    def __getattr__(self, name: str) -> Any:
        if name in ("close", "clear"):  # at the end of a request, and of a test
            return lambda *_, **__: None
        raise ConnectionError("no cache")
