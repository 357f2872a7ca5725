"""Clocks that are wrong, and right again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.utils import timezone

from mmsearch_app.indexing import ledger
from tests.faults.faults import fault
from tests.faults.scene import RECONCILE, WORKER, Scene, work_for_a_while
from tests.faults.steps import at

GROUP = "Clocks"
YEAR = timedelta(days=365)


@contextmanager
def shifted(by: timedelta) -> Iterator[None]:
    """Let the clock be wrong during the block."""
    right = timezone.now
    timezone.now = lambda: right() + by
    try:
        yield
    finally:
        timezone.now = right


def _wrong(what: str, by: timedelta) -> None:
    @fault(f"The clock is {what} when an editor saves", group=GROUP)
    def saved(scene: Scene) -> None:
        with shifted(by):
            scene.retitle(0, "zebra mug")

    @fault(f"The clock is {what} when a worker works", group=GROUP)
    def worked(scene: Scene) -> None:
        scene.retitle(0, "zebra mug")
        with shifted(by):
            work_for_a_while()
            scene.retitle(1, "zebra shirt")

    @fault(f"The clock is {what} when a worker dies", group=GROUP, heals=RECONCILE)
    def died(scene: Scene) -> None:
        scene.retitle(0, "zebra mug")
        with shifted(by):
            ledger.claim(4)


_wrong("a year ahead", YEAR)
_wrong("a year behind", -YEAR)


def _jumps(what: str, by: timedelta) -> None:
    @fault(f"The clock jumps {what} during a batch", group=GROUP, heals=WORKER)
    def inject(scene: Scene) -> None:
        scene.retitle(0, "zebra mug")
        clock = shifted(by)
        try:
            with at("while the model embeds", clock.__enter__):
                work_for_a_while()
        finally:
            clock.__exit__(None, None, None)


_jumps("a year ahead", YEAR)
_jumps("a year back", -YEAR)
