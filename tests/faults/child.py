"""A process of its own that indexes, and dies or waits at a step."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.faults.preload"])
_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a process does: a `command` of Django or a function, with these settings."""

    command: tuple[Any, ...]
    database: Mapping[str, Any]
    settings: Mapping[str, Any]
    step: str = ""
    deadly: bool = False
    """Whether it kills itself at the step, with SIGKILL; otherwise it waits there."""


class Process:
    """A process that works on a job."""

    def __init__(self, job: Job) -> None:
        self._pipe, theirs = _processes.Pipe()
        self._process = _processes.Process(target=_work, args=(job, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def wait_for_step(self) -> None:
        """Wait until the process has come to its step."""
        assert self._pipe.poll(_SECONDS), "the process did not come to its step"
        assert self._pipe.recv() == "here"

    def go_on(self) -> None:
        """Let the process continue after its step."""
        self._pipe.send("go")

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self) -> int:
        """Wait for the end of the process; returns its exit code (negative: by that signal)."""
        self._process.join(_SECONDS)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise AssertionError("the process did not end")
        return self._process.exitcode


@contextmanager
def process(job: Job) -> Iterator[Process]:
    made = Process(job)
    try:
        yield made
    finally:
        made._process.kill()
        made._process.join(_SECONDS)


def _work(job: Job, pipe: Connection) -> None:
    from django.core.management import CommandError, call_command
    from django.db import connections
    from django.test.utils import override_settings

    from tests.faults.steps import at

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connections.databases["default"].update(job.database)
    connections["default"].settings_dict.update(job.database)
    os.chdir(Path(__file__).parent)
    with override_settings(**job.settings), ExitStack() as stack:
        if job.step:
            stack.enter_context(at(job.step, _stop(job, pipe)))
        if callable(job.command[0]):
            job.command[0](*job.command[1:])
        else:
            with suppress(CommandError):  # of a fault that the command reports
                call_command(*job.command)
    connections.close_all()


def _stop(job: Job, pipe: Connection) -> Callable[[], None]:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wait() -> None:
        pipe.send("here")
        pipe.recv()

    return die if job.deadly else wait
