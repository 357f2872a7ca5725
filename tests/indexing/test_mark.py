"""Marking by hand, and the listeners to marks."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from example_shop.models import Product, ProductImage
from mmsearch_app import mark
from mmsearch_app.indexing import notify
from mmsearch_app.models import Entry
from tests.shop import IMAGES, Sell, add_picture
from tests.shop_kit import due, settle

pytestmark = pytest.mark.django_db


def test_marking_a_row_by_hand_marks_it(sell: Sell) -> None:
    image = sell().images.get()
    settle()
    assert mark(image) == 1
    assert due() == {f"{IMAGES}:{image.pk}"}


def test_marking_a_queryset_marks_only_its_rows(sell: Sell) -> None:
    mug, _other = sell(pictures=3), sell("blue mug")
    settle()
    assert mark(ProductImage.objects.filter(product=mug)) == 3
    assert len(due()) == 3


def test_marking_related_rows_marks_the_images_that_depend_on_them(sell: Sell) -> None:
    sell(pictures=2)
    settle()
    assert mark(Product.objects.all()) == 2


def test_marking_an_unregistered_model_names_the_registered_ones(db: None) -> None:
    with pytest.raises(ValueError, match=r"auth\.Group is not registered .*ProductImage"):
        mark(Group.objects.all())


def test_marking_many_rows_takes_few_statements(sell: Sell) -> None:
    product = sell(pictures=0)
    ProductImage.objects.bulk_create(ProductImage(product=product) for _ in range(1001))
    with CaptureQueriesContext(connection) as queries:
        assert mark(ProductImage.objects.all()) == 1001
    in_one = 500 if connection.vendor == "postgresql" else 999 // len(Entry._meta.fields)
    statements = sum("INSERT INTO" in query["sql"] for query in queries)
    assert statements <= 1001 / in_one + 3


def test_every_listener_is_called_once_after_the_commit(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[int] = []
    product = sell(pictures=0)
    monkeypatch.setattr(notify, "listeners", [lambda: told.append(1)])
    with django_capture_on_commit_callbacks(execute=True):
        for side in (40, 41, 42):
            add_picture(product, side=side)
        assert told == []
    assert told == [1]


def test_listeners_are_not_called_after_a_rollback(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[int] = []
    product = sell(pictures=0)
    monkeypatch.setattr(notify, "listeners", [lambda: told.append(1)])
    commit = django_capture_on_commit_callbacks(execute=True)
    with commit, pytest.raises(RuntimeError), transaction.atomic():
        add_picture(product)
        raise RuntimeError
    assert told == []


def test_a_save_after_one_that_was_rolled_back_is_told(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[int] = []
    product = sell(pictures=0)
    monkeypatch.setattr(notify, "listeners", [lambda: told.append(1)])
    with django_capture_on_commit_callbacks(execute=True):
        add_picture(product, side=40)
        with pytest.raises(RuntimeError), transaction.atomic():
            add_picture(product, side=41)
            raise RuntimeError
        add_picture(product, side=42)
    assert told == [1]


def test_each_of_two_transactions_is_told(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[int] = []
    product = sell(pictures=0)
    monkeypatch.setattr(notify, "listeners", [lambda: told.append(1)])
    for side in (40, 41):
        with django_capture_on_commit_callbacks(execute=True):
            add_picture(product, side=side)
    assert told == [1, 1]


def test_a_listener_that_fails_breaks_no_save(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def fail() -> None:
        raise ConnectionError("the broker is down")

    product = sell(pictures=0)
    monkeypatch.setattr(notify, "listeners", [fail])
    with django_capture_on_commit_callbacks(execute=True):
        add_picture(product)
    assert ProductImage.objects.count() == 1
