"""`paused`: marks are written together at the end of the block, even after an error."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from example_shop.models import Product, ProductImage
from mmsearch_app import paused
from mmsearch_app.indexing import notify
from mmsearch_app.models import Entry, State
from tests.shop import Sell, add_picture, entry, held, work

pytestmark = pytest.mark.django_db


def test_a_pause_writes_all_marks_at_its_end(sell: Sell) -> None:
    product = sell(pictures=0)
    with paused():
        for side in range(32, 42):
            add_picture(product, side=side)
        assert not Entry.objects.exists()
    assert Entry.objects.filter(due_at__isnull=False).count() == 10


def test_a_paused_import_of_many_rows_takes_few_statements(sell: Sell) -> None:
    product = sell(pictures=0)
    images = [ProductImage(product=product, original="a.png") for _ in range(60)]
    with CaptureQueriesContext(connection) as queries, paused():
        for image in images:
            image.save()
    assert sum("mmsearch_app_entry" in query["sql"] for query in queries) <= 2


def test_a_pause_inside_a_pause_ends_with_the_outer_one(sell: Sell) -> None:
    product = sell(pictures=0)
    with paused():
        with paused():
            add_picture(product)
        assert not Entry.objects.exists()
    assert Entry.objects.count() == 1


def test_a_pause_that_ends_with_an_error_loses_no_mark(sell: Sell) -> None:
    product = sell(pictures=0)
    with pytest.raises(RuntimeError), paused():
        add_picture(product)
        raise RuntimeError
    assert Entry.objects.filter(present=True, due_at__isnull=False).count() == 1


def test_a_pause_does_not_hide_database_errors(sell: Sell) -> None:
    product = sell("red mug", pictures=0)
    with pytest.raises(IntegrityError), transaction.atomic(), paused():
        add_picture(product)
        Product.objects.create(sku=product.sku, slug="other", title="twice")
    assert not Entry.objects.exists()


def test_a_delete_that_is_rolled_back_in_a_pause_removes_nothing(sell: Sell) -> None:
    image = sell().images.get()
    work()
    with paused(), pytest.raises(RuntimeError), transaction.atomic():
        image.delete()
        raise RuntimeError
    work()
    assert len(held()) == 1
    assert entry(ProductImage.objects.get()).state == State.INDEXED


def test_a_delete_in_a_pause_removes_the_image(sell: Sell) -> None:
    image = sell().images.get()
    work()
    with paused():
        image.delete()
    work()
    assert held() == []


def test_listeners_are_called_after_a_pause(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[int] = []
    product = sell(pictures=0)
    with django_capture_on_commit_callbacks(execute=True):
        with paused():
            add_picture(product)
            monkeypatch.setattr(notify, "listeners", [lambda: told.append(1)])
        assert told == []
    assert told == [1]


def test_marks_after_a_pause_are_written_immediately(sell: Sell) -> None:
    product = sell(pictures=0)
    with paused():
        pass
    add_picture(product)
    assert Entry.objects.count() == 1
