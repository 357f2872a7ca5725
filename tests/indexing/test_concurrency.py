"""Several workers and a busy shop share one ledger, with real transactions."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connection, transaction

from example_shop.models import ProductImage
from mmsearch_app import mark
from mmsearch_app.backends import get_index
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.indexing import marks, notify, stamps
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, KnownIndex, State
from tests.shop import EmbedderWithMoods, Sell, add_picture, entry, held, picture_file
from tests.shop_kit import in_threads

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_drains_embed_every_image_once(
    sell: Sell, embedder: EmbedderWithMoods, use: Any
) -> None:
    product = sell(pictures=0)
    for side in range(32, 72):
        add_picture(product, side=side)
    embedder.before = lambda: time.sleep(0.01)
    results = in_threads(lambda: drain(limit=None), lambda: drain(limit=None))
    assert sum(drained.indexed for drained in results) == 40
    assert embedder.documents == 40
    assert len(held()) == 40


def test_a_shop_that_saves_and_deletes_while_workers_drain_ends_consistent(sell: Sell) -> None:
    product = sell(pictures=0)
    images = [add_picture(product, side=side) for side in range(32, 62)]
    busy = threading.Event()

    def keep_shop() -> None:
        for number, image in enumerate(images):
            if number % 3 == 0:
                image.delete()
            elif number % 3 == 1:
                image.original.save("new.png", picture_file("blue", side=90 + number))
        busy.set()

    def keep_draining() -> None:
        while not busy.is_set():
            drain()

    in_threads(keep_shop, keep_draining, keep_draining)
    drain()
    kept = {f"example_shop.productimage:{image.pk}" for image in ProductImage.objects.all()}
    assert set(held()) == kept
    assert reconcile(deep=True) == Drift()
    assert not Entry.objects.filter(due_at__isnull=False).exists()


def test_uncommitted_rows_are_not_processed(sell: Sell) -> None:
    product = sell(pictures=0)
    with transaction.atomic():
        add_picture(product)
        if connection.vendor == "postgresql":
            (drained,) = in_threads(drain)
            assert drained.indexed == 0
        assert held() == []
    assert drain().indexed == 1


@pytest.mark.row_locks
def test_two_transactions_that_mark_the_same_rows_in_another_order_wait_and_do_not_deadlock() -> (
    None
):
    def keep_marking(keys: list[int]) -> None:
        for _ in range(30):
            with transaction.atomic():
                marks.mark_rows("a.source", keys)

    in_threads(
        lambda: keep_marking(list(range(300))), lambda: keep_marking(list(range(299, -1, -1)))
    )
    assert Entry.objects.count() == 300


@pytest.mark.sqlite
def test_a_shop_and_two_workers_on_sqlite_get_no_locked_database_error(sell: Sell) -> None:
    product = sell(pictures=0)
    image = add_picture(product)

    def save() -> None:
        for _ in range(40):
            with transaction.atomic():
                ProductImage.objects.get(pk=image.pk).save()

    def work() -> None:
        for _ in range(15):
            assert not drain().problem

    in_threads(save, save, work, work)
    assert Entry.objects.count() == 1


def test_marking_a_large_queryset_outside_a_transaction_works(sell: Sell) -> None:
    product = sell(pictures=0)
    ProductImage.objects.bulk_create(
        ProductImage(product=product, original="a.png") for _ in range(1200)
    )
    assert mark(ProductImage.objects.all()) == 1200
    assert Entry.objects.count() == 1200


def test_listeners_are_called_when_the_entry_is_visible(
    sell: Sell, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    product = sell(pictures=0)
    monkeypatch.setattr(notify, "listeners", [lambda: seen.extend(in_threads(Entry.objects.count))])
    with transaction.atomic():
        add_picture(product)
        add_picture(product, "blue")
        assert seen == []
    assert seen == [2]


def test_only_one_of_two_processes_rebuilds(sell: Sell) -> None:
    from mmsearch_app.indexing.rebuild import RebuildBlocked, Rebuilder, request_rebuild

    sell(pictures=2)
    first, second = Rebuilder(request_rebuild()), Rebuilder(request_rebuild())
    first.step()
    with pytest.raises(RebuildBlocked, match="Another process"):
        second.step()
    while not first.step():
        pass
    assert len(held()) == 2


def test_a_pause_in_one_thread_does_not_affect_another(sell: Sell) -> None:
    product = sell(pictures=0)
    with marks.paused():
        in_threads(lambda: add_picture(product))
        assert Entry.objects.count() == 1


def test_parts_are_built_once_for_all_threads(use: Any) -> None:
    from mmsearch_app.backends import get_index

    use(INDEX={"BACKEND": "tests.indexing.test_concurrency.SlowToBuild"})
    found = in_threads(*[get_index] * 8)
    assert len({id(index) for index in found}) == 1


class SlowToBuild(MemoryIndex):
    """An index that is slow to construct."""

    def __init__(self) -> None:
        time.sleep(0.05)
        super().__init__()


def test_the_entry_of_a_row_saved_in_one_thread_is_one_row_for_all(sell: Sell) -> None:
    image = sell().images.get()

    def save() -> None:
        for _ in range(10):
            ProductImage.objects.get(pk=image.pk).save()

    in_threads(save, save, save)
    assert entry(image).state == State.PENDING


def test_processes_that_notice_a_lost_index_at_once_create_one_generation(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, use: Any
) -> None:
    sell(pictures=6)
    drain()
    use()  # another index in memory: everything is lost
    index = get_index()
    create = index.create

    def create_slowly(**options: Any) -> Any:
        time.sleep(0.2)
        return create(**options)

    monkeypatch.setattr(index, "create", create_slowly)
    in_threads(*[drain] * 4)
    assert len(index.generations()) == 1
    assert len(held()) == 6
    assert reconcile(deep=True) == Drift()


def test_two_processes_renew_the_stamp_at_once(sell: Sell) -> None:
    sell()
    drain()
    before = KnownIndex.objects.get().number
    in_threads(*[stamps.renew_stamp] * 6)
    live = get_index().live()
    assert live is not None
    known = KnownIndex.objects.get()
    assert before < known.number <= before + 6
    assert get_index().stamp(generation=live.name) == known.stamp
    assert known.coming == ""
