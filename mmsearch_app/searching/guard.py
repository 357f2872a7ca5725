"""Protect the shop from a slow, failing or overloaded reranker."""

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
from mmsearch_app.inference import Circuit, renew_after_fork, until
from mmsearch_app.searching.query import Busy

if TYPE_CHECKING:
    from mmsearch_app.rerankers import Ranking

FAILURES = 3
"""Failures in a row that open the circuit."""

_T = TypeVar("_T")


class TooSlow(TimeoutError):
    """The result was not ready at the deadline."""


class Resting(Exception):
    """The circuit is open after failures in a row, or calls hang in all places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The state of a guard, for monitoring."""

    under_way: int
    """Calls that run or wait for a place."""
    failures: int
    """Failures in a row."""
    resting: bool
    """Whether the circuit is open: no call is let through at the moment."""


@dataclass(eq=False, slots=True, kw_only=True)
class _Call(Generic[_T]):
    """One running or waiting call, shared by all callers with its key."""

    deadline: float
    """A time of `time.monotonic`."""
    grace: float
    """Seconds after the deadline in which the work may still end."""
    count_failure: bool
    future: Future[_T] = field(default_factory=Future)
    started: bool = False
    """Whether it got a place."""
    counted: bool = False
    """Whether its success or failure was counted."""


class Guard(Generic[_T]):
    """Run calls in threads of their own: a few at once, a few waiting, each with a deadline.

    At most `places` calls run at the same time, and `queue` more wait for a place. Callers with
    the same key share one running call. A call that hangs keeps its place, so a hanging model
    never takes more threads than there are places; once calls hang in all of them, no caller
    waits any more.

    After three failures in a row (an exception, or a deadline missed while running) the `Circuit`
    opens for `pause` seconds. A forked child starts with an idle guard.
    """

    def __init__(self, *, places: int, queue: int, pause: float) -> None:
        self.places = places
        self.queue = queue
        self._circuit = Circuit(most_failures=FAILURES, pause=pause)
        self._reset()
        renew_after_fork(self._reset)

    def check(self, key: str) -> None:
        """Raise Busy or Resting if `run` would, so that the caller need not prepare anything."""
        with self._lock:
            self._admit(key)

    def load(self) -> Load:
        with self._lock:
            return Load(
                under_way=len(self._calls),
                failures=self._circuit.failures,
                resting=self._circuit.is_open(),
            )

    def run(
        self, key: str, work: Callable[[], _T], *, deadline: float, count_failure: bool = True
    ) -> _T:
        """Return the result of `work`, or of the running call with the same key.

        `deadline` is a time of `time.monotonic`. Work that misses it is not stopped, but may
        stop by itself: it runs inside `until(deadline, grace=…)`, where the grace is as long as
        the time that was left. Use `count_failure=False` if something else has taken most of
        the time: a failure then says nothing about the model and does not open the circuit.

        Raises Busy, Resting, TooSlow, and whatever `work` raises.
        """
        with self._lock:
            self._admit(key)
            call = self._calls.get(key)
            if call is None:
                call = self._start(key, work, deadline, count_failure=count_failure)
        if call.deadline < time.monotonic():  # it hangs: do not wait for it
            deadline = 0.0
        try:
            return call.future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError as error:
            if call.future.done() and call.future.exception() is error:  # raised by `work`
                raise
            self._count(call, failed=True)
            msg = "The reranker did not answer in time."
            raise TooSlow(msg) from None

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._free = threading.Semaphore(self.places)
        self._calls: dict[str, _Call[_T]] = {}

    def _admit(self, key: str) -> None:
        """Raise Busy or Resting unless a call with this key runs or may start."""
        if key in self._calls:
            return
        if self._circuit.is_open():
            msg = f"The reranker is paused after {self._circuit.failures} failures in a row."
            raise Resting(msg)
        now = time.monotonic()
        hanging = sum(call.started and call.deadline < now for call in self._calls.values())
        if hanging >= self.places:
            msg = f"All {self.places} running calls of the reranker hang."
            raise Resting(msg)
        if len(self._calls) >= self.places + self.queue:
            msg = gettext("Too many searches are being refined at the same time.")
            raise Busy(msg)

    def _start(
        self, key: str, work: Callable[[], _T], deadline: float, *, count_failure: bool
    ) -> _Call[_T]:
        grace = max(0.0, deadline - time.monotonic())
        call: _Call[_T] = _Call(deadline=deadline, grace=grace, count_failure=count_failure)
        # A daemon, unlike the threads of an executor: one that hangs must not keep the process
        # alive. The call is recorded only after the thread has started, which may fail; it
        # cannot end before that, because it needs the lock that the caller holds.
        threading.Thread(
            target=self._execute, args=(key, work, call), name="mmsearch-rerank", daemon=True
        ).start()
        self._calls[key] = call
        self._circuit.begin(call)
        return call

    def _execute(self, key: str, work: Callable[[], _T], call: _Call[_T]) -> None:
        try:
            result = self._run_in_place(work, call)
        except BaseException as error:
            self._finish(key, call, failed=True)
            call.future.set_exception(_as_exception(error))
        else:
            self._finish(key, call, failed=False)
            call.future.set_result(result)

    def _run_in_place(self, work: Callable[[], _T], call: _Call[_T]) -> _T:
        if not self._free.acquire(timeout=max(0.0, call.deadline - time.monotonic())):
            msg = "The reranker was busy with other calls."
            raise TooSlow(msg)
        try:
            call.started = True
            with until(call.deadline, grace=call.grace):
                return work()
        finally:
            self._free.release()

    def _finish(self, key: str, call: _Call[_T], *, failed: bool) -> None:
        late = time.monotonic() > call.deadline
        self._count(call, failed=failed or late)
        with self._lock:
            del self._calls[key]

    def _count(self, call: _Call[_T], *, failed: bool) -> None:
        """Count a call's success or failure, once.

        A call that never got a place says nothing about the model. The trial call counts
        whatever happened to it: otherwise no other call would ever be let through.
        """
        with self._lock:
            counts = call.started and (call.count_failure or not failed)
            if call.counted or not (counts or self._circuit.is_trial(call)):
                return
            call.counted = True
            self._circuit.count(call, failed=failed)


def _as_exception(error: BaseException) -> Exception:
    """Return an error that ends only the call: SystemExit would end the thread that waits."""
    if isinstance(error, Exception):
        return error
    fault = RuntimeError(f"The reranker ended its thread: {error!r}")
    fault.__cause__ = error
    return fault


@cache
def get_guard() -> Guard[Ranking]:
    """Return the guard through which all threads of this process call the reranker."""
    settings = get_settings()
    return Guard(
        places=settings.RERANK_CONCURRENCY, queue=settings.RERANK_QUEUE, pause=settings.RERANK_PAUSE
    )


def _forget(*, setting: str, **_: object) -> None:
    if setting == "MMSEARCH":
        get_guard.cache_clear()


setting_changed.connect(_forget, dispatch_uid="mmsearch_app.searching.guard")
