"""The guard: how many at once, how many wait, how long, and when nobody is let through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmsearch_app.guard import Busy, Guard, Resting, TooSlow
from mmsearch_app.rerankers.deadline import seconds_left

SOON = 0.2


def run(guard: Guard[Any], key: str, work: Callable[[], Any], *, seconds: float = 5.0) -> Any:
    return guard.run(key, work, deadline=time.monotonic() + seconds)


def fail() -> None:
    raise ConnectionError("away")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hangs in a test waits for it; it opens at the end."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def start(gate: threading.Event) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run in a thread; the returned dict gets the result or the error."""
    threads: list[threading.Thread] = []

    def begin(guard: Guard[Any], key: str, work: Callable[[], Any], **options: Any) -> Any:
        found: dict[str, Any] = {}

        def target() -> None:
            try:
                found["result"] = run(guard, key, work, **options)
            except Exception as error:
                found["error"] = error

        thread = threading.Thread(target=target)
        thread.start()
        threads.append(thread)
        return found

    yield begin
    gate.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def fill(guard: Guard[Any], start: Any, gate: threading.Event, count: int) -> list[dict[str, Any]]:
    begun = [start(guard, f"hold-{n}", lambda: gate.wait(10)) for n in range(count)]
    wait_for(lambda: len(guard._flights) == count)
    return begun


def test_a_result_comes_back() -> None:
    assert run(Guard(places=1, queue=0, pause=1), "a", lambda: 42) == 42


def test_an_error_comes_back() -> None:
    with pytest.raises(ConnectionError, match="away"):
        run(Guard(places=1, queue=0, pause=1), "a", fail)


def test_a_timeout_inside_the_work_is_the_works_own() -> None:
    def time_out() -> None:
        raise TimeoutError("of the work")

    with pytest.raises(TimeoutError, match="of the work"):
        run(Guard(places=1, queue=0, pause=1), "a", time_out)


def test_the_deadline_holds_whatever_the_work_does(gate: threading.Event) -> None:
    begun = time.monotonic()
    with pytest.raises(TooSlow):
        run(Guard(places=1, queue=0, pause=1), "a", lambda: gate.wait(10), seconds=SOON)
    assert SOON <= time.monotonic() - begun < 5


def test_the_work_knows_how_long_it_is_of_use() -> None:
    left = run(Guard(places=1, queue=0, pause=1), "a", seconds_left, seconds=3)
    assert 2.5 < left <= 3
    assert seconds_left() is None


def test_only_so_many_work_at_once(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=2, queue=5, pause=1)
    at_work, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.02)
        with lock:
            at_work -= 1

    found = [start(guard, str(n), work) for n in range(7)]
    wait_for(lambda: all(found))
    assert most == 2
    assert all("result" in each for each in found)


def test_a_full_queue_turns_away_at_once_and_says_when_to_come_back(
    gate: threading.Event, start: Any
) -> None:
    guard: Guard[Any] = Guard(places=1, queue=1, pause=1)
    fill(guard, start, gate, 2)
    begun = time.monotonic()
    with pytest.raises(Busy) as caught:
        run(guard, "one more", lambda: 1)
    assert time.monotonic() - begun < 5
    assert caught.value.retry_after > 0
    with pytest.raises(Busy):
        guard.check("one more")


def test_places_come_free_again(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=1, queue=0, pause=1)
    fill(guard, start, gate, 1)
    gate.set()
    wait_for(lambda: not guard._flights)
    assert run(guard, "next", lambda: 1) == 1


def test_who_asks_for_the_same_waits_for_the_one_piece_of_work(
    gate: threading.Event, start: Any
) -> None:
    guard: Guard[Any] = Guard(places=2, queue=0, pause=1)
    calls: list[int] = []

    def work() -> int:
        calls.append(1)
        gate.wait(10)
        return 7

    found = [start(guard, "same", work) for _ in range(5)]
    wait_for(lambda: bool(calls))
    time.sleep(0.05)
    gate.set()
    wait_for(lambda: all(found))
    assert [each["result"] for each in found] == [7] * 5
    assert calls == [1]


def test_nobody_waits_for_what_hangs_already(gate: threading.Event) -> None:
    guard: Guard[Any] = Guard(places=1, queue=5, pause=1)
    with pytest.raises(TooSlow):
        run(guard, "same", lambda: gate.wait(10), seconds=0.05)
    begun = time.monotonic()
    with pytest.raises(TooSlow):
        run(guard, "same", lambda: 1)
    assert time.monotonic() - begun < 5


def test_what_hangs_costs_no_more_threads_than_there_are_places(gate: threading.Event) -> None:
    guard: Guard[Any] = Guard(places=2, queue=3, pause=0)
    calls: list[int] = []

    def hang() -> None:
        calls.append(1)
        gate.wait(10)

    for number in range(8):
        with pytest.raises((TooSlow, Resting, Busy)):
            run(guard, str(number), hang, seconds=0.05)
    assert len(calls) == 2


def test_three_failures_in_a_row_open_the_breaker() -> None:
    guard: Guard[Any] = Guard(places=1, queue=0, pause=60)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            run(guard, "a", fail)
    calls: list[int] = []
    with pytest.raises(Resting):
        run(guard, "a", lambda: calls.append(1))
    with pytest.raises(Resting):
        guard.check("a")
    assert calls == []


def test_a_success_in_between_keeps_it_closed() -> None:
    guard: Guard[Any] = Guard(places=1, queue=0, pause=60)
    for work in (fail, fail, lambda: 1, fail, fail):
        try:
            run(guard, "a", work)
        except ConnectionError:
            continue
    assert run(guard, "a", lambda: 1) == 1


def test_missed_deadlines_open_it_too(gate: threading.Event) -> None:
    guard: Guard[Any] = Guard(places=4, queue=0, pause=60)
    for number in range(3):
        with pytest.raises(TooSlow):
            run(guard, str(number), lambda: gate.wait(10), seconds=0.03)
    with pytest.raises(Resting):
        run(guard, "a", lambda: 1)


def test_waiting_for_a_place_in_vain_says_nothing_about_the_model(
    gate: threading.Event, start: Any
) -> None:
    guard: Guard[Any] = Guard(places=1, queue=9, pause=60)
    fill(guard, start, gate, 1)
    for number in range(4):
        with pytest.raises(TooSlow):
            run(guard, f"waits-{number}", lambda: 1, seconds=0.03)
    gate.set()
    wait_for(lambda: not guard._flights)
    assert run(guard, "a", lambda: 1) == 1


def open_breaker(guard: Guard[Any]) -> None:
    for _ in range(3):
        with pytest.raises(ConnectionError):
            run(guard, "a", fail)


def test_after_a_pause_one_is_let_through_and_its_success_closes_it() -> None:
    guard: Guard[Any] = Guard(places=2, queue=2, pause=0.1)
    open_breaker(guard)
    time.sleep(0.12)
    assert run(guard, "a", lambda: 1) == 1
    with pytest.raises(ConnectionError):
        run(guard, "a", fail)
    assert run(guard, "a", lambda: 2) == 2


def test_after_a_pause_only_one_is_let_through(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=2, queue=2, pause=0.1)
    open_breaker(guard)
    time.sleep(0.12)
    trial = start(guard, "trial", lambda: gate.wait(10))
    wait_for(lambda: "trial" in guard._flights)
    with pytest.raises(Resting):
        run(guard, "another", lambda: 1)
    gate.set()
    wait_for(lambda: bool(trial))
    assert run(guard, "another", lambda: 1) == 1


def test_a_trial_that_fails_opens_it_for_another_pause() -> None:
    guard: Guard[Any] = Guard(places=1, queue=0, pause=0.15)
    open_breaker(guard)
    time.sleep(0.17)
    with pytest.raises(ConnectionError):
        run(guard, "a", fail)
    with pytest.raises(Resting):
        run(guard, "a", lambda: 1)
    time.sleep(0.17)
    assert run(guard, "a", lambda: 1) == 1


def test_a_trial_that_finds_no_place_is_no_end_of_trials(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=1, queue=9, pause=0.05)
    fill(guard, start, gate, 1)
    guard._failures = 3
    with pytest.raises(TooSlow):
        run(guard, "trial", lambda: 1, seconds=0.03)
    with pytest.raises(Resting):
        run(guard, "too early", lambda: 1)
    gate.set()
    wait_for(lambda: not guard._flights)
    time.sleep(0.06)
    assert run(guard, "again", lambda: 1) == 1


def test_where_all_places_hang_nobody_waits(gate: threading.Event) -> None:
    guard: Guard[Any] = Guard(places=2, queue=9, pause=60)
    for number in range(2):
        with pytest.raises(TooSlow):
            run(guard, str(number), lambda: gate.wait(10), seconds=0.03)
    begun = time.monotonic()
    with pytest.raises(Resting, match="all of its places"):
        run(guard, "a", lambda: 1)
    assert time.monotonic() - begun < 5
    gate.set()
    wait_for(lambda: not guard._flights)
    assert run(guard, "a", lambda: 1) == 1
