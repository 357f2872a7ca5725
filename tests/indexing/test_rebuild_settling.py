"""Between the fill and the switch, a rebuild waits for the index to be built, up to a limit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmsearch_app.backends import get_index
from mmsearch_app.indexes.base import IndexUnavailable
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.indexing import rebuild
from mmsearch_app.indexing.generations import Settling
from mmsearch_app.indexing.loop import WorkerLoop
from mmsearch_app.indexing.rebuild import Rebuilder, rebuild_index, request_rebuild
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.models import Rebuild
from tests.indexing.rebuilding import finish, live, titles
from tests.shop import IMAGES, Catalogue, Sell, held, work

pytestmark = pytest.mark.django_db


class BuildingIndex(MemoryIndex):
    """An index that is built after a number of polls."""

    looks = 0
    fault: Exception | None = None
    settled: list[str]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.settled = []

    def settle(self, *, generation: str) -> Iterator[float]:
        self.settled.append(generation)
        for look in range(self.looks):
            yield look / self.looks
        if self.fault:
            raise self.fault


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "_PAUSE", 0)


@pytest.fixture
def index(use: Callable[..., None]) -> BuildingIndex:
    use(BATCH_SIZE=2, INDEX={"BACKEND": f"{__name__}.BuildingIndex"})
    found = get_index()
    assert isinstance(found, BuildingIndex)
    return found


@pytest.fixture
def waiting(index: BuildingIndex, shop: Catalogue) -> Rebuilder:
    """A rebuild that has filled its generation and needs three more polls."""
    index.looks = 3
    found = Rebuilder(request_rebuild())
    while not found.waiting:
        assert not found.step()
    return found


def test_while_the_index_is_built_searches_use_the_old_generation(waiting: Rebuilder) -> None:
    before, everything = live(), titles()
    while not waiting.step():
        assert waiting.waiting
        assert live() == before
        assert titles() == everything
    assert live() == waiting.row.generation != before
    assert titles() == everything


def test_an_index_is_settled_once(index: BuildingIndex, waiting: Rebuilder) -> None:
    finish(waiting)
    assert index.settled == [waiting.row.generation]


def test_rows_saved_meanwhile_are_filled_in_before_the_switch(
    waiting: Rebuilder, sell: Sell
) -> None:
    image = sell("green lamp").images.get()
    assert not waiting.step()
    assert not waiting.waiting
    finish(waiting)
    assert f"{IMAGES}:{image.pk}" in held()
    work()
    assert reconcile(deep=True) == Drift()


def test_a_rebuild_by_command_waits_too(index: BuildingIndex, shop: Catalogue) -> None:
    index.looks = 5
    row = rebuild_index()
    assert index.settled == [row.generation]
    assert live() == row.generation


def test_a_rebuild_interrupted_while_waiting_keeps_the_old_generation_live(
    index: BuildingIndex, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    index.looks, before = 3, live()
    with monkeypatch.context() as patch:
        patch.setattr(rebuild.time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            rebuild_index()
    assert live() == before
    assert Rebuild.objects.get().lease_until is None
    assert rebuild_index().generation == live()


@pytest.mark.django_db(transaction=True)
def test_the_worker_does_other_work_while_it_waits(
    index: BuildingIndex, shop: Catalogue, sell: Sell
) -> None:
    index.looks, before = 3, live()
    request_rebuild()
    service = WorkerLoop()
    while service.turn():
        pass
    assert live() == before
    image = sell("green lamp").images.get()
    service.turn()
    assert f"{IMAGES}:{image.pk}" in held()
    assert live() == before


@pytest.mark.django_db(transaction=True)
def test_the_worker_polls_once_per_turn_and_ends_the_rebuild(
    index: BuildingIndex, shop: Catalogue
) -> None:
    index.looks = 3
    row = request_rebuild()
    service = WorkerLoop()
    while service.turn():
        pass
    assert [service.turn() for _ in range(3)] == [False, False, True]
    row.refresh_from_db()
    assert live() == row.generation


def test_an_index_that_makes_no_progress_goes_live_anyway(
    waiting: Rebuilder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stand_still() -> Iterator[float]:
        while True:
            yield 0.5

    monkeypatch.setattr(Settling, "PATIENCE", -1.0)
    assert waiting.settling is not None
    waiting.settling._shares = stand_still()
    with caplog.at_level(logging.WARNING, logger="mmsearch_app.indexing.generations"):
        assert not waiting.step(), "it has moved since"
        assert waiting.step()
    assert "no progress" in caplog.text
    assert live() == waiting.row.generation


def test_an_index_that_cannot_settle_goes_live_anyway(
    index: BuildingIndex, waiting: Rebuilder, caplog: pytest.LogCaptureFixture
) -> None:
    index.fault = IndexUnavailable("Milvus, flush: permission denied.")
    with caplog.at_level(logging.WARNING, logger="mmsearch_app.indexing.generations"):
        finish(waiting)
    assert "permission denied" in caplog.text
    assert live() == waiting.row.generation


def test_the_live_generation_is_not_settled(index: BuildingIndex, waiting: Rebuilder) -> None:
    index.promote(waiting.row.generation)
    waiting.release()
    rebuild_index()
    assert index.settled == [waiting.row.generation]
    assert live() == waiting.row.generation
