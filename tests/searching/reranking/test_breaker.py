"""The breaker of the guard: when nobody is let through, and who is let through first."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mmsearch_app.searching.guard import Guard, Resting, TooSlow
from tests.searching.reranking.guarding import end_pause, fail, fill, miss, run
from tests.waiting import until


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
        miss(guard, str(number), gate)
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
    until(lambda: not guard._calls)
    assert run(guard, "a", lambda: 1) == 1


def open_breaker(guard: Guard[Any]) -> None:
    for _ in range(3):
        with pytest.raises(ConnectionError):
            run(guard, "a", fail)


def test_after_a_pause_one_is_let_through_and_its_success_closes_it() -> None:
    guard: Guard[Any] = Guard(places=2, queue=2, pause=60)
    open_breaker(guard)
    end_pause(guard)
    assert run(guard, "a", lambda: 1) == 1
    with pytest.raises(ConnectionError):
        run(guard, "a", fail)
    assert run(guard, "a", lambda: 2) == 2


def test_after_a_pause_only_one_is_let_through(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=2, queue=2, pause=60)
    open_breaker(guard)
    end_pause(guard)
    trial = start(guard, "trial", lambda: gate.wait(60))
    until(lambda: "trial" in guard._calls)
    with pytest.raises(Resting):
        run(guard, "another", lambda: 1)
    gate.set()
    until(lambda: bool(trial))
    assert run(guard, "another", lambda: 1) == 1


def test_a_trial_that_fails_opens_it_for_another_pause() -> None:
    guard: Guard[Any] = Guard(places=1, queue=0, pause=60)
    open_breaker(guard)
    end_pause(guard)
    with pytest.raises(ConnectionError):
        run(guard, "a", fail)
    with pytest.raises(Resting):
        run(guard, "a", lambda: 1)
    end_pause(guard)
    assert run(guard, "a", lambda: 1) == 1


def test_a_trial_that_finds_no_place_is_no_end_of_trials(gate: threading.Event, start: Any) -> None:
    guard: Guard[Any] = Guard(places=1, queue=9, pause=60)
    fill(guard, start, gate, 1)
    guard._circuit._failures = 3
    with pytest.raises(TooSlow):
        run(guard, "trial", lambda: 1, seconds=0.03)
    with pytest.raises(Resting):
        run(guard, "too early", lambda: 1)
    gate.set()
    until(lambda: not guard._calls)
    end_pause(guard)
    assert run(guard, "again", lambda: 1) == 1


def test_what_began_with_too_little_time_says_nothing_about_the_model(
    gate: threading.Event,
) -> None:
    guard: Guard[Any] = Guard(places=9, queue=0, pause=60)
    for number in range(4):
        miss(guard, str(number), gate, count_failure=False)
        with pytest.raises(ConnectionError):
            run(guard, "a", fail, count_failure=False)
    assert guard.load().failures == 0
    with pytest.raises(ConnectionError):
        run(guard, "a", fail)
    assert run(guard, "a", lambda: 1, count_failure=False) == 1
    assert guard.load().failures == 0


def test_a_trial_with_too_little_time_is_no_end_of_trials() -> None:
    guard: Guard[Any] = Guard(places=1, queue=0, pause=60)
    open_breaker(guard)
    end_pause(guard)
    with pytest.raises(ConnectionError):
        run(guard, "trial", fail, count_failure=False)
    end_pause(guard)
    assert run(guard, "again", lambda: 1) == 1


def test_a_thread_that_cannot_start_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    guard: Guard[Any] = Guard(places=1, queue=0, pause=60)
    open_breaker(guard)
    end_pause(guard)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="start new thread"):
                run(guard, "a", lambda: 1)
    assert guard.load().under_way == 0
    assert run(guard, "a", lambda: 1) == 1


def test_where_all_places_hang_nobody_waits(gate: threading.Event) -> None:
    guard: Guard[Any] = Guard(places=2, queue=9, pause=60)
    for number in range(2):
        miss(guard, str(number), gate)
    with pytest.raises(Resting, match="running calls of the reranker hang"):
        run(guard, "a", lambda: 1)
    gate.set()
    until(lambda: not guard._calls)
    assert run(guard, "a", lambda: 1) == 1
