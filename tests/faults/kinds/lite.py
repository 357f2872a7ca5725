"""A file of Milvus Lite that is deleted, locked, restored or cannot be written."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from mmsearch_app.backends import get_index
from tests.faults.faults import UNAVAILABLE, fault
from tests.faults.kinds.server import contents_on
from tests.faults.scene import LITE, Scene, work_for_a_while, work_until_quiet
from tests.faults.steps import at

GROUP = "Milvus Lite"

contents_on(LITE, group=GROUP)


def path() -> Path:
    index: Any = get_index()
    return Path(index._connection.path)


@fault("The file is deleted", group=GROUP, index=LITE, statuses=UNAVAILABLE, may_be_empty=True)
def _deleted(scene: Scene) -> None:
    file = path()
    with scene.visitor.away():
        get_index().close()
        shutil.rmtree(file)


@fault("An older copy of the file is restored", group=GROUP, index=LITE, statuses=UNAVAILABLE)
def _restored(scene: Scene) -> None:
    work_until_quiet()
    file, backup = path(), scene.folder / "backup.db"
    with scene.visitor.away():
        get_index().close()
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(file, backup)
    scene.retitle(0, "zebra mug")
    scene.product(1).delete()
    work_until_quiet()
    with scene.visitor.away():
        get_index().close()
        shutil.rmtree(file)
        shutil.copytree(backup, file)


def hold_file() -> None:
    """Open the file, and come to a step."""
    from mmsearch_app.indexing import ledger

    get_index().live()
    ledger.finish([])
    get_index().close()


@fault("Another process holds the file", group=GROUP, index=LITE, statuses=UNAVAILABLE)
def _locked(scene: Scene) -> Iterator[None]:
    with ExitStack() as stack:
        with scene.visitor.away():
            get_index().close()
            held = scene.run(hold_file, step="before the ledger is written")
            other = stack.enter_context(held)
            other.wait_for_step()
        scene.retitle(0, "zebra mug")
        work_for_a_while()
        yield
        other.go_on()
        other.end()


def _killed(step: str) -> None:
    @fault(
        f"The process that holds the file is killed {step}",
        group=GROUP,
        index=LITE,
        statuses=UNAVAILABLE,
    )
    def inject(scene: Scene) -> None:
        title = scene.product(0).title
        for number in range(6):
            scene.retitle(number, f"zebra {number}")
        with scene.visitor.away():
            get_index().close()
            with scene.run("mmsearch_worker", "--once", step=step, deadly=True) as worker:
                assert worker.end() == -signal.SIGKILL
        scene.retitle(0, title)


for name in ("before the write", "after the write", "before the ledger is written"):
    _killed(name)


@fault("No byte can be written to the disk", group=GROUP, index=LITE, statuses=UNAVAILABLE)
def _full(scene: Scene) -> Iterator[None]:
    """A limit on the size of files fails like a full disk, without one being filled."""
    scene.retitle(0, "zebra mug")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))

    try:
        with suppress(OSError), at("before the write", fill):
            work_for_a_while()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    yield
