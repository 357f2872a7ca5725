"""Protects the shop from a slow, failing or overloaded reranker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

from django.core.signals import setting_changed
from django.utils.translation import gettext

from mmsearch_app.conf import get_settings
from mmsearch_app.inference import renew_after_fork, until
from mmsearch_app.searching.query import SearchUnavailable

if TYPE_CHECKING:
    from mmsearch_app.rerankers import Ranking

__all__ = ["Busy", "Guard", "Load", "Resting", "TooSlow", "get_guard"]

FAILURES = 3
"""Failures in a row after which the reranker is left alone."""

_T = TypeVar("_T")


class Busy(SearchUnavailable):
    """All places and the whole queue are taken."""

    retry_after = 5


class TooSlow(TimeoutError):
    """Not ready at the deadline."""


class Resting(Exception):
    """It failed several times in a row, or hangs in all places, and is left alone for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a guard fares, for monitors."""

    under_way: int
    """Pieces of work that run or wait for a place."""
    failures: int
    """In a row."""
    resting: bool
    """Whether the reranker is left alone for a while."""


@dataclass(eq=False, slots=True)
class _Flight(Generic[_T]):
    """One piece of work under way, for all who asked for the same."""

    deadline: float
    grace: float
    """Seconds behind the deadline in which what has begun may still end."""
    fair: bool
    """Whether it had the time that work needs, so that a failure says something."""
    landed: Future[_T] = field(default_factory=Future)
    begun: bool = False
    judged: bool = False
    """Whether it was counted, as a success or a failure."""


class Guard(Generic[_T]):
    """Runs work in threads of its own: some at once, some waiting, each within a deadline.

    At most `places` pieces of work run at the same time and `queue` more wait; one that hangs
    keeps its place, so that a hanging model never costs more threads than that, and where all
    places hang nobody waits any more. Who asks for what is under way already waits for it with
    the others. After three failures in a row (an
    exception, or a deadline missed while at work) nothing runs for `pause` seconds; then one
    piece of work is let through, and its outcome decides. One per process; a forked child
    begins anew.
    """

    def __init__(self, *, places: int, queue: int, pause: float) -> None:
        self.places = places
        self.queue = queue
        self.pause = pause
        self._reset()
        renew_after_fork(self._reset)

    def check(self, key: str) -> None:
        """Raise what `run` would raise at once, Busy or Resting, before anything is prepared."""
        with self._lock:
            self._admit(key)

    def load(self) -> Load:
        """How it fares at this moment."""
        with self._lock:
            return Load(
                under_way=len(self._flights), failures=self._failures, resting=self._rests()
            )

    def run(self, key: str, work: Callable[[], _T], *, deadline: float, fair: bool = True) -> _T:
        """The result of `work`, or that of the same `key` under way, by `deadline` (monotonic).

        Raises Busy, Resting, TooSlow, and whatever `work` raises. Work that misses its
        deadline is not stopped; it can read (`rerankers.deadline`) the deadline and the grace,
        which is as long again, and stop. Not `fair` is what has little time left because
        something else took it: where it fails, nobody knows about the model.
        """
        with self._lock:
            self._admit(key)
            flight = self._flights.get(key)
            if flight is None:
                flight = self._begin(key, work, deadline, fair=fair)
        if flight.deadline < time.monotonic():  # it hangs: waiting with the others is no use
            deadline = 0.0
        try:
            return flight.landed.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError as error:
            if flight.landed.done() and flight.landed.exception() is error:
                raise
            self._judge(flight, failed=True)
            msg = "The reranker did not answer in time."
            raise TooSlow(msg) from None

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._free = threading.Semaphore(self.places)
        self._flights: dict[str, _Flight[_T]] = {}
        self._failures = 0
        self._rests_until = 0.0
        self._trial: _Flight[_T] | None = None

    def _admit(self, key: str) -> None:
        if key in self._flights:
            return
        if self._rests():
            msg = f"The reranker rests after {self._failures} failures in a row."
            raise Resting(msg)
        now = time.monotonic()
        if sum(f.begun and f.deadline < now for f in self._flights.values()) >= self.places:
            msg = "The reranker hangs in all of its places."
            raise Resting(msg)
        if len(self._flights) >= self.places + self.queue:
            msg = gettext("Too many better orders are being made at the same time.")
            raise Busy(msg)

    def _rests(self) -> bool:
        waits = self._trial is not None or time.monotonic() < self._rests_until
        return self._failures >= FAILURES and waits

    def _begin(
        self, key: str, work: Callable[[], _T], deadline: float, *, fair: bool
    ) -> _Flight[_T]:
        grace = max(0.0, deadline - time.monotonic())
        flight: _Flight[_T] = _Flight(deadline=deadline, grace=grace, fair=fair)
        # A daemon, unlike the threads of an executor: one that hangs must not keep the process.
        # It waits for our lock before it ends; where none can start, nothing is left behind.
        threading.Thread(
            target=self._fly, args=(key, work, flight), name="mmsearch-rerank", daemon=True
        ).start()
        self._flights[key] = flight
        if self._failures >= FAILURES:
            self._trial = flight
        return flight

    def _fly(self, key: str, work: Callable[[], _T], flight: _Flight[_T]) -> None:
        if not self._free.acquire(timeout=max(0.0, flight.deadline - time.monotonic())):
            self._land(key, flight, error=TooSlow("The reranker was busy with others."))
            return
        try:
            flight.begun = True
            with until(flight.deadline, grace=flight.grace):
                result = work()
        except BaseException as error:
            self._free.release()
            self._land(key, flight, error=_contain(error))
        else:
            self._free.release()
            self._land(key, flight, result=result)

    def _land(
        self,
        key: str,
        flight: _Flight[_T],
        *,
        result: _T | None = None,
        error: Exception | None = None,
    ) -> None:
        late = time.monotonic() > flight.deadline
        self._judge(flight, failed=error is not None or late)
        with self._lock:
            del self._flights[key]
        if error is not None:
            flight.landed.set_exception(error)
        else:
            flight.landed.set_result(result)  # type: ignore[arg-type]

    def _judge(self, flight: _Flight[_T], *, failed: bool) -> None:
        """Count a flight once. One that never got a place says nothing about the model, nor does
        one that failed because it began with too little time."""
        with self._lock:
            is_trial = self._trial is flight
            tells = flight.begun and (flight.fair or not failed)
            if flight.judged or not (tells or is_trial):
                return
            flight.judged = True
            self._failures = self._failures + 1 if failed else 0
            if failed:
                self._rests_until = time.monotonic() + self.pause
            if is_trial:
                self._trial = None


def _contain(error: BaseException) -> Exception:
    """An error that ends no more than the work: SystemExit would end whoever waits for it."""
    if isinstance(error, Exception):
        return error
    fault = RuntimeError(f"The reranker ended its thread: {error!r}")
    fault.__cause__ = error
    return fault


@cache
def get_guard() -> Guard[Ranking]:
    """Return the guard through which this process's threads call the reranker."""
    settings = get_settings()
    return Guard(
        places=settings.RERANK_CONCURRENCY,
        queue=settings.RERANK_QUEUE,
        pause=settings.RERANK_PAUSE,
    )


def _forget(*, setting: str, **_: object) -> None:
    if setting == "MMSEARCH":
        get_guard.cache_clear()


setting_changed.connect(_forget, dispatch_uid="mmsearch_app.searching.guard")
