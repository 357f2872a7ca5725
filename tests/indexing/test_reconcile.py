"""Reconcile finds what changed without a signal."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from example_shop.models import Product, ProductImage
from mmsearch_app.backends import get_embedder
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.models import Entry, Rebuild, State
from tests.shapes.models import Attachment, Garment
from tests.shop import IMAGES, Sell, add_picture, entry, held, make_due, picture_file, work
from tests.shop_kit import delete_raw

pytestmark = pytest.mark.django_db


def test_exactly_what_changed_without_a_signal_is_found_and_then_nothing(
    sell: Sell, capsys: pytest.CaptureFixture[str]
) -> None:
    product = sell(pictures=0)
    name = ProductImage._meta.get_field("original").storage.save("a.png", picture_file())
    for _ in range(100):
        ProductImage.objects.create(product=product, original=name)
    work()
    keys = list(ProductImage.objects.values_list("pk", flat=True))
    ProductImage.objects.bulk_create(
        ProductImage(product=product, original=name) for _ in range(50)
    )
    changed = ProductImage.objects.filter(pk__in=keys[:30])
    assert changed.update(original="products/renamed.png") == 30
    delete_raw(*keys[30:50])
    call_command("mmsearch_reconcile")
    assert capsys.readouterr().out.startswith("100 differences: 80 new or changed, 20 gone")
    call_command("mmsearch_reconcile")
    assert capsys.readouterr().out.startswith("0 differences")


def test_differences_are_corrected_by_the_next_drain(sell: Sell) -> None:
    product = sell(pictures=2)
    work()
    first, second = ProductImage.objects.all()
    delete_raw(first.pk)
    ProductImage.objects.bulk_create([ProductImage(product=product, original=second.original)])
    reconcile()
    drained = work()
    assert (drained.indexed, drained.removed) == (1, 1)
    assert held() == sorted(f"{IMAGES}:{image.pk}" for image in ProductImage.objects.all())
    assert reconcile() == Drift()


def test_an_unrelated_column_is_no_difference(sell: Sell) -> None:
    sell(pictures=2)
    work()
    ProductImage.objects.update(position=F("position") + 1)
    assert reconcile() == Drift()


@pytest.mark.parametrize("column", [{"title": "blue mug"}, {"price": 99}])
def test_a_changed_column_of_the_product_is_a_difference(
    sell: Sell, column: dict[str, Any]
) -> None:
    sell(pictures=2)
    work()
    Product.objects.update(**column)
    assert reconcile().changed == 2


def test_unpublishing_without_a_signal_is_found(sell: Sell) -> None:
    sell(pictures=2)
    work()
    Product.objects.update(is_public=False)
    assert reconcile().gone == 2
    work()
    assert held() == []
    Product.objects.update(is_public=True)
    assert reconcile().changed == 2


def test_due_entries_are_not_marked_again(sell: Sell) -> None:
    before = entry(sell().images.get()).wanted
    assert reconcile() == Drift()
    assert Entry.objects.get().wanted == before


def test_failed_entries_are_left_alone_until_they_change(sell: Sell, use: Any) -> None:
    use(MAX_ATTEMPTS=1, EMBEDDER={"BACKEND": "tests.shop.EmbedderWithMoods"})
    image = add_picture(sell(pictures=0), "black")
    work()
    assert entry(image).state == State.FAILED
    assert reconcile() == Drift()
    ProductImage.objects.update(original="products/another.png")
    assert reconcile().changed == 1


def test_rejected_and_empty_entries_are_no_difference() -> None:
    garment = Garment.objects.create(code="a", name="coat")
    Attachment.objects.create(garment=garment)
    Attachment.objects.create(garment=garment, upload=picture_file())
    work()
    assert reconcile() == Drift()


def test_removed_entries_are_deleted_after_a_day(sell: Sell) -> None:
    sell().images.get().delete()
    work()
    reconcile()
    assert Entry.objects.count() == 1
    Entry.objects.update(marked_at="2020-01-01T00:00Z")
    reconcile()
    assert Entry.objects.count() == 0


def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(sell: Sell) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert reconcile() == Drift()
        return len(queries)

    sell(pictures=1)
    work()
    few = count()
    sell("blue mug", pictures=20)
    work()
    assert count() == few


def test_pages_are_read_by_key_and_never_by_offset(
    sell: Sell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("mmsearch_app.indexing.reconcile"), "_PAGE", 3)
    product = sell(pictures=0)
    ProductImage.objects.bulk_create(
        ProductImage(product=product, original="a.png") for _ in range(10)
    )
    with CaptureQueriesContext(connection) as queries:
        assert reconcile().changed == 10
    assert not [query["sql"] for query in queries if "OFFSET" in query["sql"]]


def test_reconciling_needs_neither_the_model_nor_the_index(
    sell: Sell, index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = sell(pictures=0)
    ProductImage.objects.bulk_create([ProductImage(product=product, original="a.png")])
    index.down = True
    monkeypatch.setattr(type(get_embedder()), "embed_documents", pytest.fail)
    assert reconcile() == Drift(changed=1)


def test_an_entry_that_could_not_be_read_is_no_difference_while_it_is_due(
    sell: Sell, embedder: Any
) -> None:
    add_picture(sell(pictures=0), "black")
    work()
    assert reconcile() == Drift()
    make_due()
    assert Entry.objects.get().attempts == 1
    assert not Rebuild.objects.exists()
