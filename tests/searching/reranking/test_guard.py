"""The guard limits concurrent calls, waiting calls and time."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import pytest

from mmsearch_app.inference.content import ModelFailed
from mmsearch_app.inference.deadline import last_moment, require_time
from mmsearch_app.searching.guard import Busy, Guard, Resting, TooSlow
from tests.searching.reranking.guarding import fail, fill, run
from tests.waiting import until

SOON = 0.2


def test_a_result_is_returned() -> None:
    assert run(Guard(places=1, queue=0, pause=1), "a", lambda: 42) == 42


def test_an_error_is_raised() -> None:
    with pytest.raises(ConnectionError, match="down"):
        run(Guard(places=1, queue=0, pause=1), "a", fail)


@pytest.mark.parametrize("ends", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_system_exit_ends_only_the_work(ends: type[BaseException]) -> None:
    def end() -> None:
        raise ends

    with pytest.raises(RuntimeError, match=ends.__name__) as caught:
        run(Guard(places=1, queue=0, pause=1), "a", end)
    assert isinstance(caught.value.__cause__, ends)


def test_a_timeout_inside_the_work_is_an_error_of_the_work() -> None:
    def time_out() -> None:
        raise TimeoutError("of the work")

    with pytest.raises(TimeoutError, match="of the work"):
        run(Guard(places=1, queue=0, pause=1), "a", time_out)


def test_the_deadline_applies_whatever_the_work_does(gate: threading.Event) -> None:
    begun = time.monotonic()
    with pytest.raises(TooSlow):
        run(Guard(places=1, queue=0, pause=1), "a", lambda: gate.wait(60), seconds=SOON)
    assert time.monotonic() >= begun + SOON
    assert not gate.is_set()


def test_the_work_knows_its_deadline() -> None:
    left = run(
        Guard(places=1, queue=0, pause=1),
        "a",
        lambda: last_moment() - time.monotonic(),
        seconds=1000,
    )
    assert 900 < left <= 1000
    assert last_moment() == math.inf


def test_the_work_is_told_to_stop_after_twice_the_deadline() -> None:
    guard: Guard[Any] = Guard(places=1, queue=0, pause=1)
    calls: list[Any] = []
    ends: list[float] = []

    def work() -> None:
        with guard._lock:
            calls.extend(guard._calls.values())
        while True:
            try:
                require_time()
            except ModelFailed:
                ends.append(time.monotonic())
                raise
            time.sleep(0.005)

    with pytest.raises(TooSlow):
        run(guard, "a", work, seconds=SOON)
    until(lambda: ends)
    assert ends[0] >= calls[0].deadline + calls[0].grace
    assert 0 < calls[0].grace <= SOON
    until(lambda: not guard._calls)


def test_concurrent_work_is_limited(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=2, queue=5, pause=1)
    at_work, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        until(lambda: most >= 2)
        time.sleep(0.02)
        with lock:
            at_work -= 1

    found = [start(guard, str(n), work) for n in range(7)]
    until(lambda: all(found))
    assert most == 2
    assert all("result" in each for each in found)


def test_a_full_queue_refuses_at_once_with_a_retry_after(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=1, queue=1, pause=1)
    fill(guard, start, gate, 2)
    with pytest.raises(Busy) as caught:
        run(guard, "one more", lambda: 1)
    assert not gate.is_set()
    assert caught.value.retry_after > 0
    with pytest.raises(Busy):
        guard.check("one more")


def test_slots_are_freed(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=1, queue=0, pause=1)
    fill(guard, start, gate, 1)
    gate.set()
    until(lambda: not guard._calls)
    assert run(guard, "next", lambda: 1) == 1


def test_callers_with_the_same_key_share_one_call(gate: threading.Event, start: Any) -> None:
    class Watched(Guard[Any]):
        asked = 0

        def _admit(self, key: str) -> None:
            self.asked += 1
            super()._admit(key)

    guard = Watched(places=2, queue=0, pause=1)
    calls: list[int] = []

    def work() -> int:
        calls.append(1)
        gate.wait(60)
        return 7

    found = [start(guard, "same", work) for _ in range(5)]
    until(lambda: guard.asked == 5)
    with guard._lock:  # the last one has joined, too
        gate.set()
    until(lambda: all(found))
    assert [each["result"] for each in found] == [7] * 5
    assert calls == [1]


def test_nobody_waits_for_work_that_already_hangs(gate: threading.Event) -> None:
    guard: Guard[Any] = Guard(places=1, queue=5, pause=1)
    with pytest.raises(TooSlow):
        run(guard, "same", lambda: gate.wait(60), seconds=0.05)
    with pytest.raises(TooSlow):
        run(guard, "same", lambda: 1)
    assert not gate.is_set()


def test_hanging_work_uses_no_more_threads_than_slots(gate: threading.Event) -> None:
    guard: Guard[Any] = Guard(places=2, queue=3, pause=0)
    calls: list[int] = []

    def hang() -> None:
        calls.append(1)
        gate.wait(60)

    before = threading.active_count()
    for number in range(8):
        with pytest.raises((TooSlow, Resting, Busy)):
            run(guard, str(number), hang, seconds=0.05)
    until(lambda: len(calls) == 2 and threading.active_count() <= before + 2)
    assert len(calls) == 2
