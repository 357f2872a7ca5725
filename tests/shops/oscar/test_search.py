"""What visitors of a django-oscar shop find, and how it is shown."""

from __future__ import annotations

from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.core.checks import run_checks
from django.db import connection
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from mmsearch_app import search
from mmsearch_app.contrib import layouts
from tests.shops.oscar.conftest import Product, Shop
from tests.shops.pictures import width
from tests.shops.visitor import (
    ask,
    cards,
    coloured,
    find,
    find_by_picture,
    image,
    index,
    link,
    stored,
)

W030 = "mmsearch_app.W030"
ALL = {"Red mug", "Blue mug", "Linen shirt", "Linen shirt, green"}


def test_one_line_in_the_settings_passes_the_checks() -> None:
    ours = [found for found in run_checks() if (found.id or "").startswith("mmsearch")]
    assert {found.id for found in ours} <= {"mmsearch_app.W001", "mmsearch_app.W002"}


def test_a_wrong_order_of_the_apps_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert W030 not in [found.id for found in run_checks()]
    monkeypatch.setattr(layouts, "WITH_A_LAYOUT", ("django.contrib.auth",))
    [warning] = [found for found in run_checks() if found.id == W030]
    assert "django.contrib.auth is listed after mmsearch_app" in warning.msg


def test_public_products_and_variants_are_found_by_words_and_by_picture(shop: Shop) -> None:
    assert set(find("mug")) == ALL
    assert next(iter(find("blue mug"))) == "Blue mug"
    assert coloured("green") == {"Linen shirt, green"}
    assert next(iter(find_by_picture("blue", "shirt"))) == "Linen shirt"


def test_a_card_links_to_the_product_and_shows_a_thumbnail(shop: Shop) -> None:
    for title, card in find("mug").items():
        product = shop.products[title]
        assert link(card) == product.get_absolute_url()
        assert Client().get(link(card)).status_code == 200
        assert width(stored(str(image(card)["src"]))) == 400


def test_the_api_gives_the_same_titles_links_and_thumbnails(shop: Shop) -> None:
    page = find("mug")
    for result in ask(text="mug"):
        card = page[result["title"]]
        assert result["url"].endswith(link(card))
        assert result["image_url"].endswith(str(image(card)["src"]))


def test_the_results_page_has_the_shops_layout(shop: Shop) -> None:
    page = Client().get("/find/", {"text": "mug"})
    assert "oscar/layout.html" in {template.name for template in page.templates}
    soup = BeautifulSoup(page.content, "html.parser")
    assert len(soup.select("h1")) == 1
    assert soup.select_one("header .navbar, .navbar")
    assert len(soup.select('link[href$="mmsearch.css"]')) == 1


def test_the_easy_thumbnails_of_a_shop_are_used(shop: Shop, settings: Any) -> None:
    settings.OSCAR_THUMBNAILER = "oscar.core.thumbnails.EasyThumbnails"
    address = str(image(find("mug")["Red mug"])["src"])
    assert "400x400" in address
    assert width(stored(address)) == 400


def test_a_picture_whose_file_is_lost_costs_that_picture_alone(shop: Shop) -> None:
    original = shop.products["Red mug"].images.first().original
    original.storage.delete(original.name)
    assert set(find("mug")) == ALL


def test_like_a_variant_without_pictures_asks_with_its_parents(shop: Shop) -> None:
    variant = shop.products["variant of Linen shirt"]
    assert next(iter(find(like=variant.pk))) == "Blue mug"
    assert "Linen shirt" not in find(like=variant.pk)
    assert search(like=variant, text="mug").hits


def test_like_a_parent_without_pictures_asks_with_a_variants(shop: Shop) -> None:
    shirt = shop.products["Linen shirt"]
    shirt.images.all().delete()
    index()
    assert set(find(like=shirt.pk)) <= ALL - {"Linen shirt"}


def test_the_product_page_has_a_box(shop: Shop) -> None:
    box = '{% include "mmsearch/oscar/more_like_this.html" %}'
    request = RequestFactory().get("/")
    for product in (shop.products["Red mug"], shop.products["variant of Linen shirt"]):
        html = Template(box).render(Context({"product": product, "request": request}))
        soup = BeautifulSoup(html, "html.parser")
        form = soup.select_one("form")
        assert form is not None
        hidden = {str(field["name"]): field["value"] for field in form.select("[type=hidden]")}
        assert cards(Client().get(str(form["action"]), {**hidden, "text": "red"}))


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"category": "Shirts"}, {"Linen shirt", "Linen shirt, green"}),
        ({"category": "Clothes"}, {"Linen shirt", "Linen shirt, green"}),
        ({"category": "Kitchen"}, {"Red mug", "Blue mug"}),
        ({"product_type": "Shirt"}, {"Linen shirt", "Linen shirt, green"}),
        ({"price__lte": 10}, {"Red mug"}),
        ({"price__gte": 20}, {"Linen shirt", "Linen shirt, green"}),
        ({"price__gte": 30, "price__lte": 36}, {"Linen shirt"}),
        ({"in_stock": 1}, ALL),
        ({"in_stock": 0}, set()),
    ],
)
def test_filters(shop: Shop, filters: dict[str, Any], found: set[str]) -> None:
    known = {**shop.categories, **shop.types}
    asked = {name: getattr(known.get(value), "pk", value) for name, value in filters.items()}
    assert set(find("mug", **asked)) == found


def test_the_page_offers_the_filters(shop: Shop) -> None:
    soup = BeautifulSoup(Client().get("/find/", {"text": "mug"}).content, "html.parser")
    labels = [" ".join(tag.text.split()) for tag in soup.select(".mmsearch-summary")]
    assert labels[:-1] == ["Category", "Product type", "Price", "In stock"]


def test_a_category_that_is_not_public_is_not_offered(shop: Shop) -> None:
    def offered() -> set[str]:
        soup = BeautifulSoup(Client().get("/find/", {"text": "mug"}).content, "html.parser")
        boxes = soup.select(".mmsearch-choice:has([name=category])")
        return {box.text.strip() for box in boxes}

    assert offered() == {"Clothes", "Clothes > Shirts", "Kitchen"}
    shop.categories["Clothes"].is_public = False
    shop.categories["Clothes"].save()
    assert offered() == {"Kitchen"}


def test_what_is_not_public_is_not_shown_even_before_the_worker_knows(shop: Shop) -> None:
    Product.objects.filter(title="Red mug").update(is_public=False)
    Product.objects.filter(title="Linen shirt").update(is_public=False)
    assert set(find("mug")) == {"Blue mug"}, "a variant of a hidden parent has no page"
    assert {result["title"] for result in ask(text="mug")} == {"Blue mug"}


def test_more_results_need_no_more_queries(shop: Shop) -> None:
    asked = {"category": shop.categories["Clothes"].pk, "price__gte": 1}
    find("mug", **asked)  # makes the thumbnails
    with CaptureQueriesContext(connection) as before:
        assert len(find("mug", **asked)) == 2
    for number in range(10):
        shirt = shop.sell(f"Shirt {number}", category="Shirts", type="Shirt", price=5)
        shop.photograph(shirt, "green", side=500 + number)
    index()
    find("mug", **asked)
    with CaptureQueriesContext(connection) as after:
        assert len(find("mug", **asked)) == 12
    assert len(after) <= len(before)
