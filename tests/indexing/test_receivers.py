"""The entries that saves leave in the ledger."""

from __future__ import annotations

import pytest
from django.core import serializers
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from example_shop.models import Category, Product, ProductImage
from mmsearch_app import ImageSource
from mmsearch_app.indexing import ledger, receivers
from mmsearch_app.indexing.reconcile import reconcile
from mmsearch_app.models import Entry, State
from mmsearch_app.testing import registered
from tests.shapes.models import Attachment, CheapPoster, FramedPoster, Garment, Media, Poster
from tests.shop import IMAGES, Sell, add_picture, entry, picture_file, work
from tests.shop_kit import deaf, due, settle

pytestmark = pytest.mark.django_db


def test_a_save_marks_one_entry_as_wanted_and_due(sell: Sell) -> None:
    image = add_picture(sell(pictures=0))
    assert Entry.objects.count() == 1
    found = entry(image)
    assert (found.source, found.present, found.state) == (IMAGES, True, State.PENDING)
    assert found.due_at is not None


def test_each_save_gives_the_one_entry_a_new_version(sell: Sell) -> None:
    image = add_picture(sell(pictures=0))
    versions = {entry(image).wanted}
    for _ in range(3):
        image.save()
        versions.add(entry(image).wanted)
    assert Entry.objects.count() == 1
    assert len(versions) == 4


def test_a_rollback_leaves_no_entry(sell: Sell) -> None:
    product = sell(pictures=0)
    with pytest.raises(RuntimeError), transaction.atomic():
        add_picture(product)
        assert Entry.objects.count() == 1
        raise RuntimeError
    assert not Entry.objects.exists()


def test_a_save_makes_one_extra_query(sell: Sell) -> None:
    image = sell().images.get()
    with CaptureQueriesContext(connection) as with_search:
        image.save()
    with deaf(ProductImage), CaptureQueriesContext(connection) as without:
        image.save()
    assert len(with_search) - len(without) == 1


def test_saving_a_row_that_images_depend_on_makes_two_extra_queries(sell: Sell) -> None:
    product = sell(pictures=3)
    with CaptureQueriesContext(connection) as with_search:
        product.save()
    with deaf(Product), CaptureQueriesContext(connection) as without:
        product.save()
    assert len(with_search) - len(without) == 2


def test_a_model_that_is_not_registered_makes_no_extra_query(db: None) -> None:
    category = Category(name="Mugs", slug="mugs")
    with CaptureQueriesContext(connection) as queries:
        category.save()
    assert len(queries) == 1
    assert not Entry.objects.exists()


def test_connecting_twice_marks_once(sell: Sell) -> None:
    receivers.connect()
    image = sell().images.get()
    with CaptureQueriesContext(connection) as queries:
        image.save()
    assert sum("INSERT INTO" in query["sql"] for query in queries) == 1


def test_a_raw_fixture_is_ignored_and_found_by_reconcile(sell: Sell) -> None:
    image = sell().images.get()
    text = serializers.serialize("json", [image])
    image.delete()
    work()
    for loaded in serializers.deserialize("json", text):
        loaded.save()
    assert not entry(ProductImage.objects.get()).present
    assert reconcile().changed == 1
    assert entry(ProductImage.objects.get()).present


def test_a_save_of_the_product_marks_its_images(sell: Sell) -> None:
    mug, _other = sell(pictures=2), sell("blue mug")
    settle()
    mug.save()
    assert due() == {f"{IMAGES}:{image.pk}" for image in mug.images.all()}


def test_a_save_of_a_media_row_marks_every_product_that_uses_it(db: None) -> None:
    media = Media.objects.create(file=picture_file())
    for code in ("a", "b"):
        Garment.objects.create(code=code, name=code, photo=media)
    settle()
    media.save()
    assert due() == {"shapes.garment:a", "shapes.garment:b"}


def test_a_uuid_is_stored_without_dashes(db: None) -> None:
    poster = Poster.objects.create(name="sea", picture=picture_file())
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


def test_a_save_of_a_subclass_marks_the_row_of_its_parent(db: None) -> None:
    framed = FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
    assert due() == {f"shapes.poster:{framed.pk.hex}"}


def test_a_save_through_a_proxy_marks_the_row(db: None) -> None:
    poster = CheapPoster.objects.create(name="sea", picture=picture_file())
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


def test_a_source_of_a_proxy_hears_of_saves_through_the_concrete_model(db: None) -> None:
    class Cheap(ImageSource):
        image = "picture"

    with registered(Cheap(CheapPoster)):
        poster = Poster.objects.create(name="sea", picture=picture_file())
        assert f"shapes.cheapposter:{poster.pk.hex}" in due()


def test_a_save_opens_and_reads_no_file(sell: Sell, monkeypatch: pytest.MonkeyPatch) -> None:
    product = sell(pictures=0)
    image = ProductImage(product=product)
    image.original.name = "products/not-there.png"
    monkeypatch.setattr("socket.socket.connect", pytest.fail)
    image.save()
    assert entry(image).state == State.PENDING


def test_a_row_without_an_image_is_marked_too(db: None) -> None:
    attachment = Attachment.objects.create()
    assert due() == {f"shapes.attachment:{attachment.pk}"}
    assert ledger.counts()["pending"] == 1
