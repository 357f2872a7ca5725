"""Limits of questions in URLs, and rules for robots."""

from __future__ import annotations

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from example_shop.models import Category, Product, ProductImage
from mmsearch_app.searching.filters import MAX_VALUES

from .asking import SEARCH, Shop, titles

pytestmark = pytest.mark.django_db


def test_a_repeated_value_counts_once(client: Client, shop: Shop) -> None:
    category = shop["red mug"].categories.get().pk
    once = client.get(f"{SEARCH}?text=red&category={category}")
    often = client.get(f"{SEARCH}?text=red" + f"&category={category}" * 500)
    assert titles(often) == titles(once)
    assert len(often.content) == len(once.content)


def test_the_last_value_of_a_repeated_range_counts(client: Client, shop: Shop) -> None:
    response = client.get(f"{SEARCH}?text=red&price__lte=11&price__lte=10")
    assert titles(response) == ["red mug"]


@pytest.mark.parametrize(
    "excess",
    ["".join(f"&category={n}" for n in range(MAX_VALUES + 1)), f"&category={'9' * 5000}"],
    ids=["many", "long"],
)
def test_too_many_filter_values_are_refused(client: Client, shop: Shop, excess: str) -> None:
    response = client.get(f"{SEARCH}?text=red{excess}")
    assert response.status_code == 400
    assert f"At most {MAX_VALUES} filter values" in response.text
    assert len(response.content) < 400_000


def test_a_price_above_all_prices_does_not_limit(client: Client, shop: Shop) -> None:
    everything = titles(client.get(SEARCH, {"text": "red"}))
    assert titles(client.get(SEARCH, {"text": "red", "price__lte": "99999999999"})) == everything
    assert titles(client.get(SEARCH, {"text": "red", "price__gte": "99999999999"})) == []


def test_robots_are_told_not_to_index_answers(client: Client, shop: Shop) -> None:
    assert "X-Robots-Tag" not in client.get(SEARCH).headers
    for question in ({"text": "red"}, {"like": shop["red mug"].pk}, {"like": "none"}):
        assert "noindex" in client.get(SEARCH, question).headers["X-Robots-Tag"]


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_other_methods_are_not_allowed(shop: Shop, method: str) -> None:
    response = getattr(Client(enforce_csrf_checks=True), method)(SEARCH)
    assert response.status_code == 405


def test_filters_are_read_only_on_the_page_that_shows_them(client: Client, shop: Shop) -> None:
    assert client.get(SEARCH).context["facets"] == []
    assert client.get(SEARCH, {"text": "red"}).context["facets"]


def test_a_search_with_filters_alone_says_what_is_missing(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"price__lte": "12"})
    assert "Say or show what you are looking for" in response.text


def test_a_page_after_the_last_links_back(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "red", "offset": "900"})
    assert "There are no more results." in response.text
    assert response.context["previous_url"] == f"{SEARCH}?text=red"
    assert response.text.count("?text=red") == 1


def test_a_fault_keeps_the_question_in_the_title(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "red", "price__lte": "cheap"})
    assert response.status_code == 400
    assert "“red”" in response.text


def test_a_product_without_an_image_is_searched_by_its_title(client: Client, shop: Shop) -> None:
    bare = Product.objects.create(sku="bare", slug="bare", title="green shirt", price=1)
    bare.categories.add(Category.objects.get(slug="mugs"))
    image = ProductImage(product=bare)
    image.original.save("bare.png", ContentFile(b"not a picture"))
    response = client.get(SEARCH, {"like": str(bare.pk), "text": "mug"})
    assert response.status_code == 200
    assert titles(response)[0] in {"green mug", "green shirt"}
    assert client.get(SEARCH, {"like": bare.pk}).status_code == 404
