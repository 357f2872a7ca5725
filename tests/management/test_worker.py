"""The worker's loop and its signals, and marks that outlive their pause."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import sys
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from example_shop.models import Product
from mmsearch_app import paused
from mmsearch_app.indexing.loop import WorkerLoop
from mmsearch_app.models import Entry
from tests.shop import Sell, add_picture

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_signal_handler_may_interrupt_the_wait_at_any_point() -> None:
    """The handler runs in the thread that it interrupts, so it must not wait for its locks."""
    service = WorkerLoop()

    def interrupt(frame: Any, event: str, _: Any) -> Any:
        if event == "line" and frame.f_globals["__name__"] in ("threading", "queue"):
            service.stop()
        return interrupt

    def rest() -> None:
        sys.settrace(interrupt)
        service._rest(0.01)

    thread = threading.Thread(target=rest, daemon=True)
    thread.start()
    thread.join(120)
    assert not thread.is_alive()


def test_a_stop_during_a_turn_ends_the_run_without_a_pause(
    use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(POLL_SECONDS=3600.0)
    service = WorkerLoop()
    before = signal.signal(signal.SIGTERM, lambda *_: service.stop())

    def turn() -> bool:
        signal.raise_signal(signal.SIGTERM)
        return False

    monkeypatch.setattr(service, "turn", turn)
    try:
        service.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert service.stopped


def test_pokes_during_a_turn_count_as_one() -> None:
    service = WorkerLoop()
    for _ in range(3):
        service.wake()
    service._rest(60)
    assert service._calls.empty()


def test_a_task_that_outlives_its_pause_loses_no_mark(sell: Sell) -> None:
    product = sell(pictures=0)

    async def main() -> None:
        gate = asyncio.Event()

        async def later() -> None:
            await gate.wait()
            await sync_to_async(add_picture)(await Product.objects.aget(pk=product.pk))

        with paused():
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        gate.set()
        await task
        await sync_to_async(connections.close_all)()

    asyncio.run(main())
    assert Entry.objects.count() == 1


def test_a_pause_in_such_a_task_is_independent(sell: Sell) -> None:
    product = sell(pictures=0)
    with paused():
        context = contextvars.copy_context()

    def import_more() -> int:
        with paused():
            add_picture(product)
            return Entry.objects.count()

    assert context.run(import_more) == 0
    assert Entry.objects.count() == 1
