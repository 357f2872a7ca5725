"""The search page by URL, which can be shared."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from mmsearch_app.indexing import rebuild

from .asking import SEARCH, Shop, titles

pytestmark = pytest.mark.django_db


def test_an_empty_question_shows_the_start_page(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH)
    assert response.status_code == 200
    assert "Search with a picture, words, or both" in response.text
    assert 'role="alert"' not in response.text


def test_words_in_the_url_find_products(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "green shirt"})
    assert response.status_code == 200
    assert titles(response)[0] == "green shirt"
    assert 'value="green shirt"' in response.text


def test_a_product_in_the_url_finds_similar_products(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"like": shop["red mug"].pk})
    assert "red mug" not in titles(response)
    assert "red shirt" in titles(response)[:2]
    assert shop["red mug"].images.get().original.url in response.text


def test_a_product_and_words_make_one_question(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"like": str(shop["red mug"].pk), "text": "blue mug"})
    assert titles(response)[0] == "blue mug"


def test_filters_of_the_shop_narrow_the_results(client: Client, shop: Shop) -> None:
    shirts = shop["red shirt"].categories.get()
    response = client.get(SEARCH, {"text": "red", "category": str(shirts.pk), "price__lte": "14"})
    assert sorted(titles(response)) == ["green shirt", "red shirt"]


def test_several_values_of_a_filter_mean_any_of_them(client: Client, shop: Shop) -> None:
    keys = [str(shop[name].categories.get().pk) for name in ("red shirt", "red mug")]
    response = client.get(SEARCH, {"text": "red", "category": keys})
    assert len(titles(response)) == 6


def test_filters_offer_existing_values_and_keep_the_selection(client: Client, shop: Shop) -> None:
    shirts = shop["red shirt"].categories.get()
    page = client.get(SEARCH, {"text": "red", "category": str(shirts.pk), "price__gte": "12"}).text
    assert re.search(rf'name="category" value="{shirts.pk}" checked> Shirts', page)
    assert re.search(r'name="category" value="\d+"> Mugs', page)
    assert 'name="price__gte" value="12"' in page
    assert "Price ≥ 12" in page


def test_a_filter_can_be_removed_by_a_link(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "red", "price__lt": "12"})
    (applied,) = response.context["applied"]
    assert applied.url == f"{SEARCH}?text=red"
    assert '<input type="hidden" name="price__lt" value="12">' in response.text


def test_unwanted_words_stay_on_the_page(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "mug", "without": "red"})
    assert response.status_code == 200
    assert 'name="without" value="red"' in response.text


def test_the_second_page_continues_the_first(client: Client, shop: Shop, settings: Any) -> None:
    settings.MMSEARCH = {**settings.MMSEARCH, "LIMIT": 4}
    rebuild.rebuild_index()
    first = client.get(SEARCH, {"text": "red"})
    second = client.get(first.context["next_url"])
    assert len(titles(first)) == 4
    assert not set(titles(first)) & set(titles(second))
    assert len(titles(second)) == 2
    assert second.context["next_url"] == ""
    assert second.context["previous_url"] == f"{SEARCH}?text=red"
