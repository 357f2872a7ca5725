"""A Milvus server that is unreachable, loses data, or contains what is not the shop's."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
from django.core.management import call_command

from mmsearch_app.backends import get_index
from mmsearch_app.indexes import IndexFault, Record
from mmsearch_app.indexes.milvus import MilvusIndex
from mmsearch_app.indexing.rebuild import rebuild_index
from mmsearch_app.models import Entry, KnownIndex
from tests.faults.faults import UNAVAILABLE, fault
from tests.faults.scene import DEEP, REINDEX, SERVER, Scene, work_for_a_while, work_until_quiet
from tests.faults.servers import pause
from tests.faults.steps import at

GROUP = "Milvus"
_NONSENSE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


def live() -> str:
    found = get_index().live()
    assert found is not None
    return found.name


def client() -> Any:
    index: Any = get_index()
    return index._connection._open().client


def alias_name() -> str:
    index: Any = get_index()
    return str(index.collection)


def keys() -> list[str]:
    return sorted(key for key, _ in get_index().contents(generation=live()))


def _unreachable(what: str, **trouble: Any) -> None:
    @fault(f"The Milvus server {what} for a moment", group=GROUP, statuses=UNAVAILABLE)
    def inject(scene: Scene) -> Iterator[None]:
        with scene.impatient():
            scene.retitle(0, "zebra mug")
            with scene.milvus_wire.trouble(**trouble):
                work_for_a_while()
                scene.retitle(1, "zebra shirt")
                yield


_unreachable("refuses connections", refuse=True)
_unreachable("does not answer", hold=True)
_unreachable("answers nonsense", reply=_NONSENSE)
_unreachable("breaks off every answer", cut=300)
_unreachable("is slow", delay=0.2)


def _lost_during(step: str) -> None:
    @fault(f"The connection to Milvus is lost {step}", group=GROUP, statuses=UNAVAILABLE)
    def inject(scene: Scene) -> Iterator[None]:
        title = scene.product(0).title
        scene.retitle(0, "zebra mug")
        with _broken_at(scene, step):
            work_for_a_while()
            scene.retitle(0, title)
            yield


@contextmanager
def _broken_at(scene: Scene, step: str) -> Iterator[None]:
    """Break the connection at a step, until the end of the block."""
    with ExitStack() as stack:

        def break_connection() -> None:
            stack.enter_context(scene.impatient())
            stack.enter_context(scene.milvus_wire.trouble(refuse=True))

        with at(step, break_connection):
            yield


for name in ("before the write", "after the write", "before the lease is given back"):
    _lost_during(name)


@fault("The connection to Milvus is lost during a rebuild", group=GROUP, statuses=UNAVAILABLE)
def _lost_in_rebuild(scene: Scene) -> Iterator[None]:
    step = "after the new collection is stamped"
    with _broken_at(scene, step):
        with suppress(IndexFault):
            rebuild_index()
        yield


@fault("The Milvus server is killed and started again", group=GROUP, statuses=UNAVAILABLE)
def _killed(scene: Scene) -> Iterator[None]:
    with scene.impatient():
        scene.retitle(0, "zebra mug")
        scene.milvus.kill()
        work_for_a_while()
        yield
        scene.milvus.start()


@fault("The Milvus server is frozen for a moment", group=GROUP, statuses=UNAVAILABLE)
def _frozen(scene: Scene) -> Iterator[None]:
    with scene.impatient():
        scene.retitle(0, "zebra mug")
        with scene.milvus.stopped():
            work_for_a_while()
            yield


# What is in it


def contents_on(index: str, *, group: str) -> None:
    """Add what may happen to the contents of any kind of Milvus."""
    on: dict[str, Any] = {"index": index, "group": group}
    where = "" if index == SERVER else f" of {index}"

    @fault(f"The alias is dropped{where}", statuses=UNAVAILABLE, **on)
    def alias(scene: Scene) -> None:
        client().drop_alias(alias_name())

    @fault(f"The collection is dropped{where}", statuses=UNAVAILABLE, may_be_empty=True, **on)
    def collection(scene: Scene) -> None:
        name = live()
        client().drop_alias(alias_name())
        client().drop_collection(name)

    @fault(f"The collection is emptied{where}", may_be_empty=True, **on)
    def emptied(scene: Scene) -> None:
        get_index().delete(keys(), generation=live())

    @fault(f"Half of the records are deleted{where}", **on)
    def halved(scene: Scene) -> None:
        get_index().delete(keys()[::2], generation=live())

    @fault(f"Another program adds records{where}", heals=DEEP, **on)
    def foreign(scene: Scene) -> None:
        stored = get_index().stored(keys()[:1], generation=live())
        (found,) = stored.values()
        get_index().upsert(
            [
                Record(id=f"{source}:{n}", product=str(n), source=source, vector=found.vector)
                for source in ("example_shop.productimage", "other.model")
                for n in range(900_001, 900_004)
            ],
            generation=live(),
        )

    @fault(f"Another program replaces the vectors{where}", heals=REINDEX, **on)
    def replaced(scene: Scene) -> None:
        rows = read_rows()
        write_rows([{**row, "vector": np.roll(row["vector"], 7)} for row in rows])

    @fault(f"An older copy of the records is restored{where}", may_be_empty=True, **on)
    def restored(scene: Scene) -> None:
        work_until_quiet()
        old, stamp, name = read_rows(), get_index().stamp(generation=live()), live()
        scene.retitle(0, "zebra mug")
        scene.product(1).delete()
        work_until_quiet()
        get_index().delete(keys(), generation=name)
        write_rows(old)
        get_index().restamp(stamp, generation=name)

    @fault(f"The alias points to an older collection again{where}", **on)
    def older(scene: Scene) -> None:
        old = live()
        drop, MilvusIndex.drop = MilvusIndex.drop, lambda *_, **__: None  # type: ignore[method-assign]
        try:
            rebuild_index()
        finally:
            MilvusIndex.drop = drop  # type: ignore[method-assign]
        scene.retitle(0, "zebra mug")
        work_until_quiet()
        assert live() != old
        client().alter_alias(old, alias_name())


def read_rows() -> list[dict[str, Any]]:
    """Return all that the live generation contains, as Milvus stores it."""
    index: Any = get_index()
    options = {"filter": 'id != ""', "output_fields": ["*"], "consistency_level": "Strong"}
    rows = index._connection.call("query", live(), **options)
    return [{**row, "vector": np.asarray(row["vector"], np.float32)} for row in rows]


def write_rows(rows: list[dict[str, Any]]) -> None:
    index: Any = get_index()
    with index._connection.turn():
        index._connection.call("upsert", live(), data=rows)
        index._flush(live())


contents_on(SERVER, group=GROUP)


def take_over() -> None:
    call_command("mmsearch_reconcile", "--take-over", "--deep", verbosity=0)
    work_until_quiet(seconds=5)


@fault(
    "The database is restored from a backup, Milvus is not",
    group=GROUP,
    heals="mmsearch_reconcile --take-over --deep",
    healer=take_over,
)
def _older_database(scene: Scene) -> None:
    work_until_quiet()
    known: dict[str, Any] = {**KnownIndex.objects.values().get()}
    before = {entry.pk: entry for entry in Entry.objects.all()}
    title = scene.product(0).title
    scene.retitle(0, "zebra mug")
    work_until_quiet()
    scene.retitle(0, title)
    for entry in before.values():
        entry.save()
    KnownIndex.objects.filter(pk=known.pop("id")).update(**known)
    scene.retitle(1, "zebra shirt")
    work_for_a_while()
    assert KnownIndex.objects.get().problem


@fault("A stranger's collection has the same prefix", group=GROUP)
def _namesake(scene: Scene) -> None:
    name = f"{live().rpartition('_')[0]}_{uuid.uuid4().hex[:20]}"
    client().create_collection(name, dimension=4)
    try:
        scene.retitle(0, "zebra mug")
        work_for_a_while()
        rebuild_index()
        assert client().has_collection(name)
        pause(0.1)
    finally:
        client().drop_collection(name)
