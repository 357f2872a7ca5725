"""The entries that deletes leave in the ledger, and what a worker does with them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from example_shop.models import ProductImage
from mmsearch_app import mark, search
from mmsearch_app.indexing import receivers
from mmsearch_app.models import Entry, State
from tests.shapes.models import FramedPoster, Garment, Media, Poster
from tests.shop import IMAGES, Sell, entry, held, picture_file, work
from tests.shop_kit import deaf, due

pytestmark = pytest.mark.django_db


def test_a_delete_that_is_rolled_back_keeps_the_entry_wanted(sell: Sell) -> None:
    image = sell().images.get()
    with pytest.raises(RuntimeError), transaction.atomic():
        image.delete()
        raise RuntimeError
    assert entry(ProductImage.objects.get()).present


def test_deleting_the_product_removes_its_images(sell: Sell) -> None:
    product = sell(pictures=2)
    work()
    product.delete()
    assert work().removed == 2
    assert held() == []


def test_deleting_a_queryset_removes_every_row(sell: Sell) -> None:
    sell(pictures=3)
    work()
    ProductImage.objects.all().delete()
    assert work().removed == 3
    assert held() == []


def test_a_delete_makes_one_extra_query(sell: Sell) -> None:
    first, second = sell(pictures=2).images.all()
    with CaptureQueriesContext(connection) as with_search:
        first.delete()
    with deaf(ProductImage), CaptureQueriesContext(connection) as without:
        second.delete()
    assert len(with_search) - len(without) == 1


def test_deleted_rows_are_not_read_again(sell: Sell, monkeypatch: pytest.MonkeyPatch) -> None:
    image = sell().images.get()
    work()
    image.delete()
    monkeypatch.setattr("mmsearch_app.images.read_bytes", pytest.fail)
    assert work().removed == 1


def test_deleting_the_media_row_marks_the_products_that_used_it(db: None) -> None:
    garment = Garment.objects.create(
        code="a", name="coat", photo=Media.objects.create(file=picture_file())
    )
    work()
    assert held() == ["shapes.garment:a"]
    Media.objects.get().delete()
    garment.refresh_from_db()
    assert garment.photo is None
    assert due() == {"shapes.garment:a"}
    work()
    assert held() == []
    assert entry(garment).state == State.EMPTY


def test_a_delete_of_a_subclass_removes_the_row_of_its_parent(db: None) -> None:
    framed = FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
    work()
    framed.delete()
    assert work().removed == 1
    assert held() == []


def test_a_delete_that_keeps_the_parent_keeps_its_image(db: None) -> None:
    framed = FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
    work()
    framed.delete(keep_parents=True)
    work()
    assert held() == [f"shapes.poster:{Poster.objects.get().pk.hex}"]


def test_a_delete_in_another_database_removes_nothing_from_the_index(sell: Sell) -> None:
    image = sell().images.get()
    work()
    receivers.post_delete.send(sender=ProductImage, instance=image, using="archive", origin=image)
    work()
    assert held() == [f"{IMAGES}:{image.pk}"]


@pytest.mark.parametrize("write", [str, lambda key: key.hex])
def test_a_key_assigned_as_text_is_normalised(db: None, write: Any) -> None:
    key = uuid.uuid4()
    poster = Poster(id=write(key), name="sea", picture=picture_file())
    poster.save()
    assert due() == {f"shapes.poster:{key.hex}"}
    assert work().indexed == 1
    assert mark(poster) == 1
    poster.delete()
    assert work().removed == 1
    assert Entry.objects.count() == 1


def test_a_product_whose_key_is_text_is_excluded_from_its_similar_products(db: None) -> None:
    first = Poster.objects.create(name="red one", picture=picture_file())
    Poster.objects.create(name="red two", picture=picture_file(side=48))
    work()
    same = Poster(id=first.pk.hex, name="red one", picture=first.picture.name)
    assert [hit.title for hit in search(like=same).hits] == ["red two"]
