"""The hits of an answer: public products, each once, with all their fields."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.files.base import ContentFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_shop.models import Product, ProductImage
from mmsearch_app import ImageSource, search
from mmsearch_app.models import Entry
from mmsearch_app.searching.query import InvalidQuery
from mmsearch_app.testing import registered
from tests.shapes.models import FramedPoster, Garment, Media, Poster
from tests.shop import Catalogue, Sell, add_picture, picture, picture_file, work
from tests.shop_kit import titles

pytestmark = pytest.mark.django_db


def test_a_product_with_many_images_is_one_hit_with_the_best_image(sell: Sell) -> None:
    product = sell("red mug", pictures=0)
    for colour in ("red", "green", "blue"):
        add_picture(product, colour)
    sell("blue lamp")
    work()
    found = search(image=picture("green", side=99))
    assert sorted(titles(found)) == ["blue lamp", "red mug"]
    best = found.hits[0]
    assert best.image == product.images.all()[1]
    assert best.product == product


def test_a_hit_has_the_urls_of_product_and_image(shop: Catalogue) -> None:
    hit = search("red mug", limit=1).hits[0]
    image = shop["red mug"].images.get()
    assert hit.product == shop["red mug"]
    assert hit.image == image
    assert hit.url == shop["red mug"].get_absolute_url()
    assert hit.image_url == image.original.url
    assert hit.source == "example_shop.productimage"
    assert -1 <= hit.score <= 1


def test_an_answer_has_the_time_of_each_stage(shop: Catalogue) -> None:
    found = search("red mug")
    assert set(found.timings) >= {"embed", "search", "total"}
    assert found.ranked_by == "index"
    assert found.query is not None
    assert found.query.text == "red mug"


@pytest.mark.parametrize("change", ["delete", "hide", "hide the picture's product by update"])
def test_hidden_products_are_not_found_even_before_a_worker_runs(
    shop: Catalogue, change: str
) -> None:
    mug = shop["red mug"]
    if change == "delete":
        mug.delete()
    elif change == "hide":
        mug.is_public = False
        mug.save()
    else:
        Product.objects.filter(pk=mug.pk).update(is_public=False)
    found = titles(search("red mug"))
    assert "red mug" not in found
    assert len(found) == 5


def test_a_page_is_full_even_if_most_candidates_are_hidden(sell: Sell) -> None:
    for number in range(40):
        sell(f"red mug {number}", colour="red")
    kept = [sell(f"blue lamp {number}", colour="blue") for number in range(3)]
    work()
    Product.objects.exclude(pk__in=[product.pk for product in kept]).update(is_public=False)
    assert len(search("red mug", image=picture("red"), limit=3).hits) == 3


def test_an_image_that_another_product_shares_with_the_reference_is_dropped(sell: Sell) -> None:
    same = picture_file("red")
    first, twin = sell("red mug", pictures=0), sell("crimson cup", pictures=0)
    for product in (first, twin):
        ProductImage.objects.create(product=product, original=ContentFile(same.read(), "a.png"))
        same.seek(0)
    sell("green mug")
    work()
    assert titles(search(like=first)) == ["green mug"]
    assert len(titles(search(image=picture("red")))) == 3


class Restricted(ImageSource):
    name = "restricted"
    image = "picture"
    title = "name"

    def visible_to(self, queryset: Any, user: Any, request: Any = None) -> Any:
        return queryset if user is not None and user.is_staff else queryset.filter(signed=False)


def test_users_do_not_find_products_they_may_not_see() -> None:
    from mmsearch_app.sources.registry import registry

    ordinary = registry.get("shapes.poster")
    registry.remove("shapes.poster")
    try:
        with registered(Restricted(Poster)):
            for name, signed in (("red sea", True), ("blue sea", False)):
                file = picture_file(name.split()[0])
                Poster.objects.create(name=name, picture=file, signed=signed)
            work()
            staff = User(is_staff=True)
            assert len(search("sea", user=staff).hits) == 2
            assert titles(search("sea", user=AnonymousUser())) == ["blue sea"]
            assert titles(search("sea")) == ["blue sea"]
            hidden = Poster.objects.get(signed=True)
            with pytest.raises(InvalidQuery, match="not available"):
                search(like=hidden.pk)
            assert titles(search(like=hidden.pk, user=staff)) == ["blue sea"]
    finally:
        registry.add(ordinary)


def test_products_of_all_models_are_found_together(shop: Catalogue) -> None:
    Poster.objects.create(name="red poster", picture=picture_file("red"))
    media = Media.objects.create(file=picture_file("red", side=48))
    Garment.objects.create(code="c", name="red coat", photo=media)
    work()
    found = search("red", limit=4)
    assert {type(hit.product) for hit in found.hits} == {Product, Poster, Garment}


def test_equal_keys_of_two_models_are_two_products(sell: Sell) -> None:
    product = sell("red mug")
    media = Media.objects.create(file=picture_file("red"))
    Garment.objects.create(code=str(product.pk), name="red coat", photo=media)
    work()
    assert sorted(titles(search("red"))) == ["red coat", "red mug"]


def test_a_row_of_a_subclass_never_finds_itself(sell: Sell) -> None:
    framed = FramedPoster.objects.create(name="red sea", frame="oak", picture=picture_file("red"))
    sell("green mug")
    work()
    Entry.objects.update(digest="")  # as where its picture was exchanged a moment ago
    assert titles(search(like=framed)) == ["green mug"]


class FirstView(ImageSource):
    name = "first-view"
    image = "original"
    product = "product"
    title = "product.title"


def test_two_sources_of_one_model_show_a_product_once(shop: Catalogue) -> None:
    with registered(FirstView(ProductImage)):
        from mmsearch_app.testing import index_everything

        index_everything()
        assert len(search("mug").hits) == 6


def test_the_number_of_queries_does_not_depend_on_the_number_of_results(
    shop: Catalogue, sell: Sell
) -> None:
    def count(limit: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert len(search("mug", limit=limit).hits) == limit
        return len(queries)

    for number in range(20):
        sell(f"red mug {number}")
    work()
    search("mug")  # reads the floors of the scores, which are kept for a minute
    assert count(1) == count(20) <= 3
