"""Rebuilds that die at a step, or whose shop changes meanwhile."""

from __future__ import annotations

import signal
from contextlib import ExitStack, suppress

from example_shop.models import Product
from mmsearch_app.indexing.rebuild import rebuild_index, request_rebuild
from tests.faults.faults import fault
from tests.faults.scene import REINDEX, Scene, work_for_a_while
from tests.faults.servers import pause
from tests.faults.steps import REBUILD, at

GROUP = "Rebuilds"
_SHOWN = (
    "before a batch is written to the new collection",
    "after a batch is written to the new collection",
    "while the new collection settles",
    "before the alias moves",
    "after the alias moved",
    "after the switch, when the ledger knows",
)


def _killed(step: str) -> None:
    @fault(f"mmsearch_reindex is killed {step}", group=GROUP)
    def inject(scene: Scene) -> None:
        title = scene.product(0).title
        scene.retitle(0, "zebra mug")
        scene.retitle(1, "zebra shirt")
        with scene.run("mmsearch_reindex", "--verbosity=0", step=step, deadly=True) as process:
            assert process.end() == -signal.SIGKILL
        scene.retitle(0, title)


for name in REBUILD:
    _killed(name)


def _changed_during(step: str) -> None:
    @fault(f"The shop changes {step}", group=GROUP)
    def inject(scene: Scene) -> None:
        title = scene.product(0).title

        def change() -> None:
            scene.retitle(0, title)
            scene.retitle(1, "zebra shirt")
            Product.objects.get(pk=scene.product(2).pk).delete()
            hidden = scene.product(3)
            hidden.is_public = False
            hidden.save()

        scene.retitle(0, "zebra mug")
        with at(step, change):
            rebuild_index()


for name in _SHOWN:
    _changed_during(name)


@fault("mmsearch_reindex is killed and run again", group=GROUP, heals=REINDEX)
def _again(scene: Scene) -> None:
    step = "after a batch is written to the new collection"
    with scene.run("mmsearch_reindex", "--verbosity=0", step=step, deadly=True) as process:
        assert process.end() == -signal.SIGKILL
    scene.retitle(0, "zebra mug")


@fault("Three processes rebuild the index at the same time", group=GROUP)
def _three(scene: Scene) -> None:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(scene.run("mmsearch_reindex", "--verbosity=0")) for _ in range(3)
        ]
        for number in range(12):
            scene.retitle(number, f"zebra {number}")
        for process in processes:
            process.end()


@fault("A rebuild is frozen until its lease has run out, and another one is done", group=GROUP)
def _frozen(scene: Scene) -> None:
    title = scene.product(0).title
    scene.retitle(0, "zebra mug")
    step = "before the switch"
    with scene.run("mmsearch_reindex", "--verbosity=0", step=step) as process:
        process.wait_for_step()
        process.signal(signal.SIGSTOP)
        process.go_on()
        pause(1.3)
        scene.retitle(0, title)
        rebuild_index()
        scene.retitle(1, "zebra shirt")
        work_for_a_while()
        process.signal(signal.SIGCONT)
        process.end()


@fault("The collection that is being filled is dropped", group=GROUP)
def _dropped(scene: Scene) -> None:
    from mmsearch_app.backends import get_index

    def drop() -> None:
        live = get_index().live()
        for generation in get_index().generations():
            if generation != live:
                get_index().drop(generation.name)

    request_rebuild()
    with at("before a batch is written to the new collection", drop), suppress(Exception):
        rebuild_index()
