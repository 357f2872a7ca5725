"""A product without pictures of its own is searched for by those of another."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.template import Context, Template
from django.test import Client, RequestFactory

from example_shop.models import Product
from mmsearch_app import InvalidQuery, search
from mmsearch_app.searching import find_pictured, tickets
from tests.shop import Catalogue, Sell, picture
from tests.shop_kit import titles

pytestmark = pytest.mark.django_db

HOOK = "example_shop.mmsearch.ProductImages.get_stand_in"
Lead = Callable[[dict[Product, Any]], None]


@pytest.fixture
def lead(monkeypatch: pytest.MonkeyPatch) -> Lead:
    """Let products stand for others: `lead({variant: parent})`."""

    def change(stand_ins: dict[Product, Any]) -> None:
        monkeypatch.setattr(HOOK, lambda _, product: stand_ins.get(product))

    return change


@pytest.fixture
def variant(sell: Sell, shop: Catalogue, lead: Lead) -> Product:
    """A product without pictures, for which the red mug stands."""
    product = sell("large red mug", pictures=0)
    lead({product: shop["red mug"]})
    return product


def test_the_pictures_of_the_stand_in_are_searched_for(variant: Product, shop: Catalogue) -> None:
    by_variant = search(like=variant)
    assert titles(by_variant) == titles(search(like=shop["red mug"]))
    assert "another product's stands for it" in by_variant.notes[0]
    assert titles(search("shirt", like=variant))[0] == "red shirt"


def test_neither_the_product_nor_its_stand_in_is_found(variant: Product, shop: Catalogue) -> None:
    found = titles(search(like=variant.pk))
    assert len(found) == 5
    assert not {"red mug", "large red mug"} & set(found)


def test_the_way_to_a_picture_may_be_long(sell: Sell, shop: Catalogue, lead: Lead) -> None:
    chain = [sell(f"red mug {number}", pictures=0) for number in range(5)]
    lead({**dict(pairwise(chain)), chain[-1]: shop["red mug"]})
    assert find_pictured(chain[0]) == shop["red mug"]


def test_a_way_in_a_circle_ends(sell: Sell, lead: Lead) -> None:
    one, other = (sell(f"mug {number}", pictures=0) for number in range(2))
    lead({one: other, other: one})
    assert find_pictured(one) is None


def test_a_way_without_end_ends(shop: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HOOK, lambda *_: Product(title="new"))
    assert find_pictured(Product(title="first")) is None


@pytest.mark.parametrize("value", ["red mug", 3, object()])
def test_a_hook_that_returns_no_product_counts_as_none(
    value: object, variant: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HOOK, lambda *_: value)
    assert find_pictured(variant) is None


def test_a_stand_in_that_may_not_be_seen_does_not_count(variant: Product, shop: Catalogue) -> None:
    Product.objects.filter(pk=shop["red mug"].pk).update(is_public=False)
    assert find_pictured(variant) is None
    with pytest.raises(InvalidQuery, match="not available") as caught:
        search(like=variant.pk)
    assert str(variant.pk) not in str(caught.value)


def test_a_product_without_any_picture_is_refused_or_noted(sell: Sell, shop: Catalogue) -> None:
    lamp = sell("red lamp", pictures=0)
    with pytest.raises(InvalidQuery, match="no picture to start from"):
        search(like=lamp)
    answer = search("mug", like=lamp)
    assert answer.notes == (
        "The product has no picture that can be used: its title is searched for.",
    )
    assert titles(answer)[0] == "red mug"


def test_a_picture_beside_a_product_is_noted(shop: Catalogue) -> None:
    answer = search(image=picture("blue"), like=shop["red mug"])
    assert "the product is only left out" in answer.notes[0]


def test_a_ticket_restores_the_stand_in(variant: Product, shop: Catalogue) -> None:
    query = tickets.redeem(tickets.issue(search(like=variant)))
    assert (query.like, query.stand_in) == (variant, shop["red mug"])


def test_the_page_shows_the_stand_in_and_tells_nothing_of_a_product_that_may_be_hidden(
    client: Client, variant: Product, shop: Catalogue
) -> None:
    page = client.get("/find/", {"like": str(variant.pk), "text": "in blue"})
    assert page.context["reference"].title == "red mug"
    assert page.context["reference"].url == shop["red mug"].get_absolute_url()
    assert page.context["reference"].image_url == shop["red mug"].images.get().original.url
    assert variant.title not in page.content.decode()
    assert variant.get_absolute_url() not in page.content.decode()


def widget(product: Product) -> str:
    page = Template("{% load mmsearch %}{% mmsearch_like product %}")
    return page.render(Context({"product": product, "request": RequestFactory().get("/")}))


def test_the_widget_is_left_out_where_nothing_can_be_asked(
    variant: Product, sell: Sell, shop: Catalogue
) -> None:
    assert f'value="{variant.pk}"' in widget(variant)
    assert widget(sell("red lamp", pictures=0)).strip() == ""
    Product.objects.filter(pk=shop["red mug"].pk).update(is_public=False)
    assert widget(variant).strip() == ""
    assert widget(shop["red mug"]).strip() == ""
