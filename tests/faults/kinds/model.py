"""A model that is down, hangs, answers nonsense, or is another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.faults.faults import UNAVAILABLE, fault
from tests.faults.models import Embedder, Vectors, in_mood
from tests.faults.scene import BASE, REINDEX, Scene, work_for_a_while

GROUP = "Model"


def _raise(_: Vectors) -> Any:
    raise ConnectionError("the model server is down")


def _hang(vectors: Vectors) -> Vectors:
    """Hang in the first call of a worker's turn; by then the worker has given it up."""
    time.sleep(2 * BASE["MODEL_SECONDS"])
    Embedder.mood = None
    return vectors


def _slow(vectors: Vectors) -> Vectors:
    time.sleep(0.3)
    return vectors


MOODS: dict[str, Callable[[Vectors], Any]] = {
    "is down": _raise,
    "hangs": _hang,
    "is slow": _slow,
    "returns numbers that are not finite": lambda vectors: vectors * np.nan,
    "returns another number of vectors": lambda vectors: vectors[1:],
    "returns vectors of another size": lambda vectors: vectors[:, :9],
    "returns vectors of another length": lambda vectors: 2 * vectors,
    "returns nothing": lambda _: None,
}


def _moody(what: str, mood: Callable[[Vectors], Any]) -> None:
    @fault(f"The model {what}", group=GROUP)
    def inject(scene: Scene) -> Iterator[None]:
        scene.retitle(0, "zebra mug")
        with in_mood(mood):
            work_for_a_while()
            scene.retitle(1, "zebra shirt")
            yield


for name, mood in MOODS.items():
    _moody(name, mood)


@fault("The model fails for one batch", group=GROUP)
def _once(scene: Scene) -> None:
    for number in range(6):
        scene.retitle(number, f"zebra {number}")
    calls = []

    def fail_once(vectors: Vectors) -> Vectors:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("out of memory")
        return vectors

    with in_mood(fail_once):
        work_for_a_while()


@fault("The model is another one", group=GROUP, heals=REINDEX, statuses=UNAVAILABLE)
def _changed(scene: Scene) -> None:
    fingerprint = f"another-{time.time()}"
    options = {"OPTIONS": {"fingerprint": fingerprint}}
    before = scene.settings["MMSEARCH"]
    scene.configure({**before, "EMBEDDER": {**before["EMBEDDER"], **options}})
    scene.retitle(0, "zebra mug")
    work_for_a_while()
