"""Searches by API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from example_shop.models import Category
from tests.api.conftest import Ask, plain, titles, upload

KEYS = ["id", "results", "ranked_by", "caption", "reason", "rerank", "next", "timings", "notes"]
HIT_KEYS = ["product", "image", "score", "title", "url", "image_url", "reason"]


def test_words_find_products_ordered_by_similarity(ask: Ask, catalogue: Any) -> None:
    found = titles(ask(text="red mug"))
    assert found[0] == "red mug"
    assert set(found[1:5]) == {"green mug", "blue mug", "red shirt", "red lamp"}


def test_an_answer_has_the_documented_fields(ask: Ask, catalogue: Any) -> None:
    document = ask(text="red mug").json()
    assert list(document) == KEYS
    first = document["results"][0]
    assert list(first) == HIT_KEYS
    product = catalogue["red mug"]
    assert first["product"] == product.pk
    assert first["image"] == product.images.get().pk
    assert first["score"] == pytest.approx(0.707, abs=0.01)
    assert first["url"] == "http://testserver/product/red-mug/"
    assert first["image_url"] == f"http://testserver{product.images.get().original.url}"
    assert document["ranked_by"] == "index"
    assert document["rerank"] == {"status": "off", "url": None}
    assert set(document["timings"]) == {"embed", "search", "total"}


def test_an_image_finds_similar_images(ask: Ask, catalogue: Any) -> None:
    found = titles(ask(form=True, image=upload(plain("blue")), limit=3))
    assert set(found) == {"blue mug", "blue shirt", "blue lamp"}


def test_an_image_and_words_can_be_combined(ask: Ask, catalogue: Any) -> None:
    assert titles(ask(form=True, image=upload(plain("blue")), text="lamp"))[0] == "blue lamp"


@pytest.mark.parametrize("as_form", [True, False])
def test_a_product_can_be_the_question_and_is_never_in_the_answer(
    ask: Ask, catalogue: Any, as_form: bool
) -> None:
    found = titles(ask(form=as_form, like=catalogue["green mug"].pk))
    assert "green mug" not in found
    assert len(found) == 8


@pytest.mark.parametrize("as_form", [True, False])
def test_filters_narrow_the_answer(ask: Ask, catalogue: Any, as_form: bool) -> None:
    mugs = Category.objects.get(slug="mug").pk
    lamps = Category.objects.get(slug="lamp").pk
    found = titles(ask(form=as_form, text="red", category=[mugs, lamps], price__lte="16"))
    assert set(found) == {"red mug", "green mug", "blue mug", "red lamp"}


def test_a_single_filter_value_needs_no_list(ask: Ask, catalogue: Any) -> None:
    mugs = Category.objects.get(slug="mug").pk
    assert len(titles(ask(text="red", category=mugs))) == 3
    assert titles(ask(text="red", price=12)) == ["blue mug"]


def test_an_empty_choice_of_a_form_filters_nothing(ask: Ask, catalogue: Any) -> None:
    found = titles(ask(form=True, text="red", category="", price__lte="", like="", limit=""))
    assert len(found) == 9


def test_null_is_the_same_as_nothing(ask: Ask, catalogue: Any) -> None:
    nothing = dict.fromkeys(("like", "without", "limit", "rerank", "category", "price__gte"))
    assert len(titles(ask(text="red mug", **nothing))) == 9


def test_unwanted_words_lower_the_score(ask: Ask, catalogue: Any) -> None:
    found = titles(ask(text="red mug", without="mug"))
    assert found.index("red lamp") < found.index("green mug")


def test_a_form_of_the_shops_own_pages_may_carry_its_csrf_token(ask: Ask, catalogue: Any) -> None:
    assert titles(ask(form=True, text="red mug", csrfmiddlewaretoken="x"))[0] == "red mug"


def test_no_csrf_token_is_needed_because_nobody_is_logged_in(catalogue: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    body = json.dumps({"text": "red mug"})
    response = client.post(reverse("mmsearch_api:search"), body, content_type="application/json")
    assert titles(response)[0] == "red mug"


def test_what_the_shop_hides_is_not_found(ask: Ask, catalogue: Any) -> None:
    product = catalogue["red mug"]
    type(product).objects.filter(pk=product.pk).update(is_public=False)
    assert "red mug" not in titles(ask(text="red mug"))


def test_texts_are_not_escaped_in_json(ask: Ask, catalogue: Any) -> None:
    product = catalogue["red mug"]
    type(product).objects.filter(pk=product.pk).update(title="<script>alert(1)</script>")
    response = ask(text="red mug")
    assert titles(response)[0] == "<script>alert(1)</script>"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_answers_are_not_cached_by_shared_caches(ask: Ask, catalogue: Any) -> None:
    assert ask(text="red mug").headers["Cache-Control"] == "private, no-store"


def test_the_number_of_queries_does_not_grow_with_the_answer(ask: Ask, catalogue: Any) -> None:
    ask(text="red")
    with CaptureQueriesContext(connection) as few:
        assert len(titles(ask(text="red", limit=1))) == 1
    with CaptureQueriesContext(connection) as many:
        assert len(titles(ask(text="red", limit=9))) == 9
    assert len(many) == len(few)
