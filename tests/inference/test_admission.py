"""Sharing a capacity: first come, first served, and nobody waits longer than they accept."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from mmsearch_app.inference.admission import Admission, Crowded
from tests.forking import works_in_child
from tests.waiting import until


def occupy(gate: Admission, done: threading.Event, **how: Any) -> threading.Thread:
    """Hold a place in a thread until `done`; returns once it holds it or waits for it."""
    how = {"capacity": 1, "most_seconds": None, **how}

    def hold() -> None:
        with gate.admit("work", **how):
            done.wait(60)

    before = len(gate._running) + len(gate._waiting)
    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    until(lambda: len(gate._running) + len(gate._waiting) > before)
    return thread


def usually_takes(gate: Admission, seconds: float) -> None:
    gate._seconds["work"] = seconds


def test_a_free_place_is_taken_whatever_a_place_takes() -> None:
    gate = Admission()
    usually_takes(gate, 1_000)
    with gate.admit("work", capacity=1, most_seconds=0):
        assert gate.expected_wait(capacity=1) > 0
    assert gate.expected_wait(capacity=1) == 0


def test_who_would_wait_too_long_is_refused_without_waiting() -> None:
    gate, done = Admission(), threading.Event()
    usually_takes(gate, 100)
    occupy(gate, done)
    try:
        with pytest.raises(Crowded) as caught, gate.admit("work", capacity=1, most_seconds=60):
            pass
        assert not gate._waiting
        assert caught.value.retry_after in (99, 100)
        with pytest.raises(Crowded):
            gate.check(capacity=1, most_seconds=60)
        gate.check(capacity=2, most_seconds=60)
    finally:
        done.set()


def test_the_expected_wait_grows_with_the_queue_and_shrinks_with_the_places() -> None:
    gate, done = Admission(), threading.Event()
    usually_takes(gate, 10)
    for _ in range(4):
        occupy(gate, done, capacity=2)
    try:
        assert gate.expected_wait(capacity=2) == pytest.approx(20, abs=1)
        assert gate.expected_wait(capacity=4) == pytest.approx(10, abs=1)
    finally:
        done.set()


def test_a_caller_that_hangs_is_expected_to_hang_on() -> None:
    gate = Admission()
    usually_takes(gate, 0.001)
    with gate.admit("work", capacity=1, most_seconds=None):
        gate._running[0].since -= 60
        with pytest.raises(Crowded):
            gate.check(capacity=1, most_seconds=20)


def test_a_wait_in_vain_ends_and_leaves_the_queue() -> None:
    gate, done = Admission(), threading.Event()
    occupy(gate, done)
    try:
        with pytest.raises(Crowded), gate.admit("work", capacity=1, most_seconds=0.05):
            pass
        assert not gate._waiting
    finally:
        done.set()


def test_callers_are_admitted_in_their_order_however_small_they_are() -> None:
    gate, done, order = Admission(), threading.Event(), list[int]()
    occupy(gate, done, units=2, capacity=3)

    def ask(units: int) -> None:
        with gate.admit("work", units=units, capacity=3, most_seconds=None):
            order.append(units)

    threads = []
    for place, units in enumerate((3, 1)):
        threads.append(threading.Thread(target=ask, args=(units,), daemon=True))
        threads[-1].start()
        until(lambda place=place: len(gate._waiting) == place + 1)  # type: ignore[misc]
    done.set()
    for thread in threads:
        thread.join(60)
    assert order == [3, 1]


def test_the_units_of_all_never_exceed_the_capacity() -> None:
    gate, most, lock = Admission(), 0, threading.Lock()
    inside = 0

    def ask(units: int) -> None:
        nonlocal inside, most
        with gate.admit("work", units=units, capacity=5, most_seconds=None):
            with lock:
                inside += units
                most = max(most, inside)
            time.sleep(0.001)
            with lock:
                inside -= units

    threads = [threading.Thread(target=ask, args=(1 + number % 5,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, inside) == (5, 0)


def test_a_failure_gives_the_place_back_and_says_nothing_about_the_time() -> None:
    gate = Admission()
    with suppress(ZeroDivisionError), gate.admit("work", capacity=1, most_seconds=0):
        1 / 0  # noqa: B018
    assert gate._seconds == {}
    with gate.admit("work", capacity=1, most_seconds=0):
        pass
    assert list(gate._seconds) == ["work"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_finds_all_places_free() -> None:
    gate = Admission()

    def enter() -> bool:
        with ExitStack() as stack:
            stack.enter_context(gate.admit("work", capacity=1, most_seconds=0))
            return True

    with gate.admit("work", capacity=1, most_seconds=0):
        assert works_in_child(enter)
