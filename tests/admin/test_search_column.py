"""The column of a shop's own admin pages that shows the search state of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin.sites import AdminSite
from django.db.models import F
from django.test import Client

from example_shop.models import Product, ProductImage
from mmsearch_app.admin.mixin import ReindexMixin, attach_entries
from mmsearch_app.indexing.receivers import mark
from mmsearch_app.models import Entry, State
from mmsearch_app.sources.base import ImageSource
from mmsearch_app.testing import registered
from tests.admin.conftest import PRODUCTS, ModelAdmin
from tests.shapes.models import Garment, Media, Poster

from .conftest import count_queries, entries_of, entry_of, messages_of


def test_the_column_sums_up_the_images_of_a_product(boss: Client, shop: list[Product]) -> None:
    broken = shop[0].images.get(position=1)
    Entry.objects.filter(pk=entry_of(broken).pk).update(state=State.REJECTED, error="<i>no</i>")
    page = boss.get(PRODUCTS).content.decode()
    assert page.count("indexed × 2") == 2
    assert "indexed × 1" in page
    assert "not usable × 1" in page
    assert "&lt;i&gt;no&lt;/i&gt;" in page
    assert "<i>no</i>" not in page


def test_the_number_of_queries_of_the_column_does_not_grow_with_rows(
    boss: Client, sell: Callable[..., Product]
) -> None:
    sell("one")
    boss.get(PRODUCTS)
    few = count_queries(lambda: boss.get(PRODUCTS))
    for number in range(12):
        sell(f"more {number}", views=2)
    assert count_queries(lambda: boss.get(PRODUCTS)) == few


def test_the_column_keeps_working_beside_editable_cells(boss: Client, shop: list[Product]) -> None:
    data: dict[str, Any] = {"form-TOTAL_FORMS": 3, "form-INITIAL_FORMS": 3, "_save": "Save"}
    for place, product in enumerate(Product.objects.all()):
        data[f"form-{place}-id"] = product.pk
        if place:
            data[f"form-{place}-is_public"] = "on"
    response = boss.post(PRODUCTS, data, follow=True)
    assert "1 product was changed" in messages_of(response)
    assert not Product.objects.get(pk=shop[0].pk).is_public
    assert "waiting × 2" in response.content.decode()


def test_the_column_works_on_a_page_of_one_row(db: None, shop: list[Product]) -> None:
    class Page(ReindexMixin, ModelAdmin):
        """Calls the column for a single object, outside a changelist."""

    shown = Page(ProductImage, AdminSite()).search_state(shop[0].images.all()[0])
    assert "indexed" in shown


def test_the_column_supports_uuid_keys(db: None) -> None:
    poster = Poster.objects.create(name="sea")

    class Page(ReindexMixin, ModelAdmin):
        pass

    assert "waiting" in Page(Poster, AdminSite()).search_state(poster)


def test_a_row_that_is_not_in_the_ledger_has_a_dash(db: None) -> None:
    class Page(ReindexMixin, ModelAdmin):
        pass

    product = Product.objects.create(sku="x", slug="x", title="x")
    assert "–" in Page(Product, AdminSite()).search_state(product)


def test_two_sources_of_one_model_are_both_marked(shop: list[Product]) -> None:
    class Again(ImageSource):
        name = "again"
        image = "original"
        product = "product"

    with registered(Again(ProductImage)):
        assert mark(Product.objects.filter(pk=shop[0].pk)) == 4
        marked = Entry.objects.filter(state=State.PENDING).order_by(F("source").asc())
        assert {entry.source for entry in marked} == {"again", "example_shop.productimage"}


def test_the_column_shows_the_images_that_only_depend_on_a_row(db: None) -> None:
    media = [Media.objects.create(file=f"{n}.png") for n in range(3)]
    for code, photo in (("g1", media[0]), ("g2", media[0]), ("g3", media[1])):
        Garment.objects.create(code=code, name="coat", photo=photo)
    Entry.objects.filter(object_pk="g3").update(state=State.FAILED)
    attach_entries(media)
    states = [[(e.object_pk, e.state) for e in vars(row)["mmsearch_entries"]] for row in media]
    assert states == [[("g1", State.PENDING), ("g2", State.PENDING)], [("g3", State.FAILED)], []]


def test_an_image_that_depends_on_its_product_is_counted_once_in_the_column(
    shop: list[Product],
) -> None:
    attach_entries(shop[:1])
    assert vars(shop[0])["mmsearch_entries"] == entries_of(shop[0])
