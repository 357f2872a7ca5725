"""Workers that are killed, frozen, or do the same work twice."""

from __future__ import annotations

import signal
from contextlib import ExitStack

from tests.faults.faults import fault
from tests.faults.scene import BASE, Scene, work_for_a_while
from tests.faults.servers import pause
from tests.faults.steps import BATCH

GROUP = "Workers"
ONCE = ("mmsearch_worker", "--once", "--verbosity=0")
PAST_LEASE = 1.3 * BASE["LEASE_SECONDS"]


def _kill(scene: Scene, step: str) -> None:
    with scene.run(*ONCE, step=step, deadly=True) as worker:
        assert worker.end() == -signal.SIGKILL


def _killed(step: str) -> None:
    @fault(f"A worker is killed {step}", group=GROUP)
    def inject(scene: Scene) -> None:
        for number in range(6):
            scene.retitle(number, f"zebra {number}")
        _kill(scene, step)


def _killed_and_undone(step: str) -> None:
    @fault(f"A worker is killed {step}, then the change is undone", group=GROUP)
    def inject(scene: Scene) -> None:
        title = scene.product(0).title
        scene.retitle(0, "zebra mug")
        _kill(scene, step)
        scene.retitle(0, title)


for name in BATCH:
    _killed(name)
for name in ("while the model embeds", "after the write", "before the lease is given back"):
    _killed_and_undone(name)


def _frozen(step: str) -> None:
    @fault(f"A worker is frozen {step} until its lease has run out", group=GROUP)
    def inject(scene: Scene) -> None:
        title = scene.product(0).title
        scene.retitle(0, "zebra mug")
        with scene.run(*ONCE, step=step) as worker:
            worker.wait_for_step()
            worker.signal(signal.SIGSTOP)
            worker.go_on()
            scene.retitle(0, title)
            pause(PAST_LEASE)
            work_for_a_while()
            worker.signal(signal.SIGCONT)
            worker.end()


for name in ("while the model embeds", "before the write", "before the ledger is written"):
    _frozen(name)


@fault("Four workers do the work of one", group=GROUP)
def _many(scene: Scene) -> None:
    with ExitStack() as stack:
        workers = []
        for number in range(4):
            for product in range(12):
                scene.retitle(product, f"zebra {number} {product}")
            workers.append(stack.enter_context(scene.run(*ONCE)))
        for worker in workers:
            worker.end()
