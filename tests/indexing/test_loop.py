"""The service: a loop that alternates draining and rebuilding, as a command or a thread."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from mmsearch_app.indexing import loop
from mmsearch_app.indexing.loop import WorkerLoop
from mmsearch_app.indexing.rebuild import request_rebuild
from mmsearch_app.models import Entry, Rebuild, State
from tests.shop import EmbedderWithMoods, Sell, add_picture, held
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_turn_drains_and_returns_whether_there_may_be_more(sell: Sell) -> None:
    sell(pictures=2)
    work = WorkerLoop()
    assert work.turn()
    assert not work.turn()
    assert work.total.indexed == 2


def test_turns_complete_a_requested_rebuild(sell: Sell, use: Any) -> None:
    use(BATCH_SIZE=1)
    sell(pictures=9)
    work = WorkerLoop()
    request_rebuild()
    while work.turn():
        pass
    assert not Rebuild.objects.filter(open=True).exists()
    assert len(held()) == 9


def test_a_turn_survives_any_error(sell: Sell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    sell()
    work = WorkerLoop()
    with monkeypatch.context() as patch:
        patch.setattr("mmsearch_app.indexing.worker.drain", fail)
        assert not work.turn()
    assert work.turn()


def test_a_blocked_rebuild_is_left_for_a_while_and_another_worker_may_take_it(
    sell: Sell, embedder: EmbedderWithMoods
) -> None:
    sell(pictures=3)
    work = WorkerLoop()
    while work.turn():
        pass
    row = request_rebuild()
    embedder.down = True
    assert not work.turn()
    row.refresh_from_db()
    assert row.lease_until is None
    embedder.down = False
    assert not work.turn()
    work._rebuild_not_before = 0
    while work.turn():
        pass
    row.refresh_from_db()
    assert not row.open


def test_the_thread_is_woken_by_a_save_and_ends_on_stop(sell: Sell, use: Any) -> None:
    use(POLL_SECONDS=30.0)
    work = WorkerLoop()

    def run() -> None:
        try:
            work.run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        product = sell()
        work.wake()
        until(lambda: Entry.objects.filter(state=State.INDEXED).count() == 1)
        add_picture(product, "blue")
        work.wake()
        until(lambda: len(held()) == 2)
    finally:
        work.stop()
        thread.join(120)
    assert not thread.is_alive()


def test_the_thread_starts_with_the_first_request_and_not_before(
    client: Any, sell: Sell, use: Any
) -> None:
    from mmsearch_app.indexing import notify

    use(WORKER_THREAD=True, POLL_SECONDS=0.05)
    assert loop._thread_of_this_process.cache_info().currsize == 0
    product = sell("red mug")
    before = list(notify.listeners)
    try:
        client.get("/")
        until(lambda: len(held()) == 1)
        add_picture(product, "blue")
        until(lambda: len(held()) == 2)
    finally:
        running = loop._thread_of_this_process()
        (thread,) = [t for t in threading.enumerate() if t.name == "mmsearch-worker"]
        loop._end(running, thread)
        notify.listeners[:] = before
        loop._thread_of_this_process.cache_clear()
    assert not thread.is_alive()


def test_without_the_setting_no_thread_starts(client: Any, db: None) -> None:
    client.get("/")
    assert loop._thread_of_this_process.cache_info().currsize == 0


def test_the_command_can_work_once(sell: Sell, capsys: pytest.CaptureFixture[str]) -> None:
    sell(pictures=2)
    call_command("mmsearch_worker", "--once")
    assert capsys.readouterr().out.startswith("2 indexed, 0 removed")


def test_the_command_reports_entries_that_wait_for_a_retry(
    sell: Sell, capsys: pytest.CaptureFixture[str]
) -> None:
    sell(pictures=3)
    later = timezone.now() + timedelta(minutes=5)
    waiting = [entry.pk for entry in Entry.objects.all()[:2]]
    Entry.objects.filter(pk__in=waiting).update(due_at=later)
    call_command("mmsearch_worker", "--once")
    told = capsys.readouterr().out.splitlines()
    when = timezone.localtime(later).isoformat(" ", "seconds")
    assert told[0].startswith("1 indexed")
    assert told[1:] == [f"2 wait for another attempt, the first at {when}."]


@pytest.mark.parametrize("command", [["mmsearch_worker", "--once"], ["mmsearch_reindex"]])
def test_the_command_warns_that_an_index_in_memory_is_lost_at_its_end(
    sell: Sell, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    sell()
    call_command(*command)
    assert "in the memory of this process" in capsys.readouterr().err


def test_the_command_fails_if_an_image_fails(sell: Sell, embedder: EmbedderWithMoods) -> None:
    add_picture(sell(), "black")
    with pytest.raises(CommandError, match="tried again"):
        call_command("mmsearch_worker", "--once")
    assert len(held()) == 1


def test_the_command_fails_if_the_model_fails(sell: Sell, embedder: EmbedderWithMoods) -> None:
    sell()
    embedder.down = True
    with pytest.raises(CommandError, match="does not work"):
        call_command("mmsearch_worker", "--once")


def test_the_live_check_reports_every_part(sell: Sell, capsys: pytest.CaptureFixture[str]) -> None:
    sell()
    call_command("mmsearch_worker", "--once")
    call_command("mmsearch_check")
    report = capsys.readouterr().out
    for part in ("embedder", "index", "storage", "ledger", "reranker"):
        assert part in report
    assert "FAIL" not in report


def test_the_live_check_names_the_failing_parts(
    sell: Sell, embedder: EmbedderWithMoods, capsys: pytest.CaptureFixture[str]
) -> None:
    import os

    os.remove(sell().images.get().original.path)
    embedder.down = True
    with pytest.raises(CommandError, match=r"Not working: embedder, storage\."):
        call_command("mmsearch_check")
    assert "FAIL" in capsys.readouterr().out
