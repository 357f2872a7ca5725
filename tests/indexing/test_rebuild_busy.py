"""A rebuild in a busy shop comes to its end, and deleted images do not come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, transaction

from example_shop.models import ProductImage
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexing import generations
from mmsearch_app.indexing.rebuild import Rebuilder, rebuild_index, request_rebuild
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, State
from tests.indexing.rebuilding import change_model, finish, live
from tests.shop import Catalogue, EmbedderWithMoods, entry, held, make_due, work
from tests.shop_kit import in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


def test_a_rebuild_ends_while_the_shop_keeps_saving(shop: Catalogue) -> None:
    image = shop["red mug"].images.get()
    rebuilder = Rebuilder(request_rebuild())
    for _ in range(12):
        if rebuilder.step():
            break
        image.save()
    assert not rebuilder.row.open
    work()
    assert len(held()) == 6
    assert reconcile(deep=True) == Drift()


def test_a_row_that_loses_its_image_after_the_fill_leaves_the_new_generation(
    shop: Catalogue,
) -> None:
    image = shop["red mug"].images.get()
    rebuilder = Rebuilder(request_rebuild())
    for _ in range(3):
        rebuilder.step()
    image.original.storage.delete(str(image.original))
    image.save()
    work()
    finish(rebuilder)
    work()
    assert len(held()) == 5
    assert entry(image).state == State.EMPTY


def test_a_rebuild_killed_between_writing_and_recording_leaves_no_stale_record(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    image = shop["red mug"].images.get()
    killed = Rebuilder(request_rebuild())
    with monkeypatch.context() as patch:
        patch.setattr("mmsearch_app.indexing.rebuild.stage", die)
        with pytest.raises(KeyboardInterrupt):
            killed.step()
    killed.release()
    image.delete()
    work()
    rebuild_index()
    work()
    assert len(held()) == 5


@pytest.fixture
def switched_meanwhile(shop: Catalogue) -> Callable[[Callable[[], object]], None]:
    """A function that queues an image and runs another model's rebuild while it is embedded.

    It calls `act` after the switch; then the worker of the old model continues.
    """

    def prepare(act: Callable[[], object]) -> None:
        embedder: Any = get_embedder()

        def switch() -> None:
            embedder.before = None
            change_model()
            rebuild_index()
            change_model("testing-1")
            act()

        image = shop["red mug"].images.get()
        image.save()
        Entry.objects.filter(pk=entry(image).pk).update(content="")
        embedder.before = switch

    return prepare


def test_the_batch_of_a_worker_killed_after_the_switch_is_done_by_another(
    shop: Catalogue, switched_meanwhile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has written to a replaced generation and cannot record that any more."""

    def die() -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    switched_meanwhile(lambda: monkeypatch.setattr(get_index(), "live", die))
    with pytest.raises(KeyboardInterrupt):
        drain()
    assert entry(shop["red mug"].images.get()).due_at is not None


def test_a_database_failure_after_the_switch_loses_no_image(
    shop: Catalogue, switched_meanwhile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmsearch_app.indexing import ledger

    def fail(*_: Any) -> None:
        monkeypatch.undo()
        raise OperationalError("database is locked")

    switched_meanwhile(lambda: monkeypatch.setattr(ledger, "retry", fail))
    with pytest.raises(OperationalError):
        drain()
    change_model()
    make_due()
    work()
    assert entry(shop["red mug"].images.get()).generation == live()
    assert reconcile(deep=True) == Drift()


def hold(image: ProductImage, locked: threading.Event, *, delete: bool) -> None:
    """A long transaction of the shop."""
    with transaction.atomic():
        if delete:
            image.delete()
        else:
            image.save()
        locked.set()
        time.sleep(0.5)


@pytest.mark.row_locks
def test_an_image_deleted_during_its_fill_does_not_come_back(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = shop["red mug"].images.get()
    locked, real = threading.Event(), generations.stage

    def delete_first(*entries: Any, **options: Any) -> None:
        monkeypatch.undo()
        shopper = threading.Thread(
            target=lambda: in_threads(lambda: hold(image, locked, delete=True))
        )
        shopper.start()
        assert locked.wait(120)
        real(*entries, **options)
        shopper.join()
        work()  # a worker removes it from the live generation

    monkeypatch.setattr("mmsearch_app.indexing.rebuild.stage", delete_first)
    rebuild_index()
    work()
    assert len(held()) == 5
    assert reconcile(deep=True) == Drift()


@pytest.mark.row_locks
def test_the_rebuild_waits_idle_for_a_transaction_that_locks_an_entry(shop: Catalogue) -> None:
    embedder: Any = get_embedder()
    assert isinstance(embedder, EmbedderWithMoods)
    before, locked = embedder.documents, threading.Event()

    def rebuild_then() -> None:
        assert locked.wait(120)
        rebuild_index()

    in_threads(lambda: hold(shop["red mug"].images.get(), locked, delete=False), rebuild_then)
    assert embedder.documents - before <= 6 + 2
    work()
    assert len(held()) == 6
