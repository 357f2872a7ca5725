"""Overlap the steps of several batches: one is read while another is embedded or written."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

from django.conf import settings
from django.db import connections, reset_queries, router

from mmsearch_app.conf import get_settings
from mmsearch_app.indexing.batch import EmbedderDown
from mmsearch_app.indexing.lanes import Call, Lane, in_lane, seconds_of, start_call
from mmsearch_app.models import Entry

_T = TypeVar("_T")

_WITH_IMAGES = 2
"""Batches that may hold decoded images: one in the model, one being read."""
_UNFINISHED = 4
"""Batches that may be under way at the same time."""
_WRITE_SECONDS = 60.0
"""How long a write may take to end after another batch failed; the index has its own limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of a batch's work that needs no database, hence may run in another thread."""

    lane: Lane
    work: Callable[[], Any]


Job: TypeAlias = Generator[Step, Any, _T]
"""The work at one batch. It yields steps, is sent their results, and returns its own."""


class ModelHangs(EmbedderDown):
    """A call of the model has not returned for MODEL_SECONDS; its thread still waits for it."""


class _Stopped(Exception):
    """The step was not begun, because the work is to end."""


def require_model() -> None:
    """Raise ModelHangs if a call of the model has not returned in time, and still has not."""
    limit = get_settings().MODEL_SECONDS
    if seconds_of(Lane.MODEL) > limit:
        msg = f"The model has not answered for {limit:g} seconds (MMSEARCH['MODEL_SECONDS'])."
        raise ModelHangs(msg)


def overlap(
    next_job: Callable[[], Job[_T] | None],
    *,
    stopped: Callable[[], bool] = lambda: False,
    beat: Callable[[], object] = lambda: None,
    every: float = 60.0,
) -> Generator[_T, None, None]:
    """Run jobs side by side and yield what each returns.

    `next_job` returns a job to begin or None; after None it is called again when a job has ended,
    and the whole is over when it returns None while no job is under way.

    The jobs run in the calling thread, which has the database; only their steps run in the
    threads of their lanes. `beat` is called every `every` seconds while the calling thread waits
    for a step, but not if it hangs itself. Once `stopped` returns True, no further image is read
    or embedded: jobs that need that end without a result. A call of the model that takes longer
    than MODEL_SECONDS is given up: the jobs that wait for the model get ModelHangs.

    If a job raises or the generator is closed, the other jobs are closed as soon as nothing of
    theirs is being written any more.

    In a transaction, such as a test's, all steps run in the calling thread, one job after
    another: other threads would not see its rows. So they do within a step of another job.
    """
    if in_lane() or connections[router.db_for_write(Entry)].in_atomic_block:
        while (job := next_job()) is not None:
            yield run_alone(job)
            _forget_statements()
        return
    under_way = _UnderWay(stopped=stopped, beat=beat, every=every)
    try:
        yield from under_way.results(next_job)
    finally:
        under_way.close()


def call_model(work: Callable[[], _T]) -> _T:
    """Return what one call of the model returns. Raises ModelHangs, and what `work` raises."""

    def job() -> Job[_T]:
        result: _T = yield Step(lane=Lane.MODEL, work=work)
        return result

    jobs = iter([job()])
    with closing(overlap(lambda: next(jobs, None))) as results:
        return next(results)


def run_alone(job: Job[_T]) -> _T:
    """Run one job, all of it in the calling thread, and return what it returns."""
    resume: Callable[[], Step] = partial(next, job)
    while True:
        try:
            step = resume()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        try:
            resume = partial(job.send, step.work())
        except BaseException as error:
            resume = partial(job.throw, error)


def _forget_statements() -> None:
    """Drop the statements that Django keeps under DEBUG: 9,000, some of them of 20 kB."""
    if settings.DEBUG:
        reset_queries()


class _UnderWay:
    """The jobs that wait for a step."""

    def __init__(
        self, *, stopped: Callable[[], bool], beat: Callable[[], object], every: float
    ) -> None:
        self.stopped = stopped
        self.beat = beat
        self.every = every
        self._jobs: dict[Call, Job[Any]] = {}
        self._replies: SimpleQueue[Call] = SimpleQueue()
        self._next_beat = time.monotonic() + every

    def results(self, next_job: Callable[[], Job[_T] | None]) -> Iterator[_T]:
        more = True
        ended: Iterator[_T]
        while more or self._jobs:
            if not (more and self._has_room()):
                ended = self._wait()
            elif (job := next_job()) is not None:
                ended = self._advance(job, partial(next, job))
            else:
                more = False
                continue
            for result in ended:
                more = True
                yield result
                _forget_statements()

    def close(self) -> None:
        """Close the jobs, when those that are being written no longer are."""
        writing = {call for call in self._jobs if not call.cancel() and call.lane is Lane.INDEX}
        deadline = time.monotonic() + _WRITE_SECONDS
        while writing and (left := deadline - time.monotonic()) > 0:
            with suppress(Empty):
                writing.discard(self._replies.get(timeout=left))
        with ExitStack() as stack:
            for job in self._jobs.values():
                stack.callback(job.close)
        self._jobs.clear()

    def _has_room(self) -> bool:
        with_images = sum(call.lane is not Lane.INDEX for call in self._jobs)
        return with_images < _WITH_IMAGES and len(self._jobs) < _UNFINISHED

    def _advance(self, job: Job[_T], resume: Callable[[], Step]) -> Iterator[_T]:
        """Continue the job up to its next step; yield what it returns if it has none."""
        try:
            step = resume()
        except StopIteration as end:
            yield end.value
        except _Stopped:
            return
        else:
            work = step.work
            if step.lane is not Lane.INDEX:
                work = partial(self._unless_stopped, work)
            self._jobs[start_call(step.lane, work, self._replies)] = job

    def _unless_stopped(self, work: Callable[[], _T]) -> _T:
        if self.stopped():
            raise _Stopped
        return work()

    def _wait(self) -> Iterator[_T]:
        """Wait for a step to end, for a while; yield what the jobs return that end thereby."""
        with suppress(Empty):
            call = self._replies.get(timeout=self._patience())
            if (job := self._jobs.pop(call, None)) is not None:
                yield from self._advance(job, partial(_reply, job, call))
        if time.monotonic() >= self._next_beat:
            self.beat()
            self._next_beat = time.monotonic() + self.every
        try:
            require_model()
        except ModelHangs as error:
            yield from self._give_up_model(error)

    def _patience(self) -> float:
        until_beat = max(0.0, self._next_beat - time.monotonic())
        return min(until_beat, get_settings().MODEL_SECONDS / 4, 1.0)

    def _give_up_model(self, error: ModelHangs) -> Iterator[_T]:
        for call in [call for call in self._jobs if call.lane is Lane.MODEL]:
            call.cancel()
            job = self._jobs.pop(call)
            yield from self._advance(job, partial(job.throw, error))


def _reply(job: Job[_T], call: Call) -> Step:
    return job.send(call.result) if call.error is None else job.throw(call.error)
