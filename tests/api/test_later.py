"""Requests after the first answer: more pages and the late order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import reverse
from rest_framework.test import APIClient

from example_shop.models import Product
from tests.api.conftest import Ask, plain, problem, titles, upload
from tests.api.parts import Contrary

Fill = Callable[[], dict[str, Product]]


@pytest.fixture
def contrary(use: Callable[..., None], fill: Fill) -> None:
    use(RERANKER={"BACKEND": "tests.api.parts.Contrary"})
    Contrary.calls = 0
    fill()


def test_pages_have_neither_gaps_nor_repetitions(ask: Ask, api: APIClient, catalogue: Any) -> None:
    whole = titles(ask(text="red mug"))
    response = ask(text="red mug", limit=4)
    seen = titles(response)
    while address := response.json()["next"]:
        response = api.get(address)
        seen += titles(response)
    assert seen == whole
    assert len(seen) == 9


def test_a_search_with_an_uploaded_image_has_more_pages(
    ask: Ask, api: APIClient, catalogue: Any
) -> None:
    first = ask(form=True, image=upload(plain("green")), text="mug", limit=3)
    second = api.get(first.json()["next"])
    assert titles(first)[0] == "green mug"
    assert not set(titles(first)) & set(titles(second))


def test_later_pages_keep_the_filters(ask: Ask, api: APIClient, catalogue: Any) -> None:
    first = ask(text="red", price__lte=12, limit=2)
    assert len(titles(api.get(first.json()["next"]))) == 1


def test_the_last_page_has_no_next(ask: Ask, catalogue: Any) -> None:
    assert ask(text="red mug", limit=9).json()["next"] is None


def test_paging_ends_at_the_limit_of_the_settings(
    ask: Ask, api: APIClient, use: Callable[..., None], fill: Fill
) -> None:
    use(MAX_OFFSET=4)
    fill()
    second = api.get(ask(text="red mug", limit=3).json()["next"])
    assert len(titles(second)) == 3
    assert second.json()["next"] is None


@pytest.mark.parametrize("offset", ["x", "-1", "1001", "9" * 30, "1.5"])
def test_an_invalid_offset_is_reported(
    ask: Ask, api: APIClient, catalogue: Any, offset: str
) -> None:
    token = ask(text="red mug").json()["id"]
    response = api.get(reverse("mmsearch_api:page", args=[token]), {"offset": offset})
    assert list(problem(response, 400)["errors"]) == ["offset"]


@pytest.mark.parametrize("name", ["page", "rerank"])
def test_a_forged_token_is_not_found(api: APIClient, db: None, name: str) -> None:
    for token in ("x", "a:b:c", "é" * 300):
        problem(api.get(reverse(f"mmsearch_api:{name}", args=[token])), 404)


@pytest.mark.parametrize("name", ["page", "rerank"])
def test_an_expired_token_is_gone(ask: Ask, api: APIClient, catalogue: Any, name: str) -> None:
    token = ask(text="red mug").json()["id"]
    cache.clear()
    problem(api.get(reverse(f"mmsearch_api:{name}", args=[token])), 410)


def test_the_first_answer_does_not_wait_for_the_reranker(ask: Ask, contrary: None) -> None:
    document = ask(text="red mug").json()
    assert document["results"][0]["title"] == "red mug"
    assert document["ranked_by"] == "index"
    assert document["rerank"]["status"] == "pending"
    assert document["rerank"]["url"].startswith("http://testserver/api/mmsearch/v1/search/")
    assert Contrary.calls == 0


def test_the_late_answer_has_the_better_order_and_the_same_form(
    ask: Ask, api: APIClient, contrary: None
) -> None:
    first = ask(text="red mug").json()
    late = api.get(first["rerank"]["url"]).json()
    assert list(late) == list(first)
    assert late["id"] == first["id"]
    assert late["ranked_by"] == "reranker"
    assert late["rerank"] == {"status": "done", "url": first["rerank"]["url"]}
    before = [hit["product"] for hit in first["results"]]
    after = [hit["product"] for hit in late["results"]]
    assert after != before
    assert sorted(after) == sorted(before)


def test_what_the_model_writes_is_plain_text_in_json(
    ask: Ask, api: APIClient, contrary: None
) -> None:
    response = api.get(ask(text="red mug").json()["rerank"]["url"])
    assert response.json()["reason"] == "<script>alert(1)</script>"
    assert response.json()["caption"] == "a picture"
    assert response.headers["Content-Type"] == "application/json"


def test_ranking_twice_works_once(ask: Ask, api: APIClient, contrary: None) -> None:
    address = ask(text="red mug").json()["rerank"]["url"]
    assert titles(api.get(address)) == titles(api.get(address))
    assert Contrary.calls == 1


def test_the_late_answer_leads_to_the_same_next_page(
    ask: Ask, api: APIClient, contrary: None
) -> None:
    first = ask(text="red mug", limit=4).json()
    assert first["next"]
    assert api.get(first["rerank"]["url"]).json()["next"] == first["next"]


def test_rerank_false_offers_no_late_order(ask: Ask, contrary: None) -> None:
    assert ask(text="red mug", rerank=False).json()["rerank"] == {"status": "off", "url": None}
    response = ask(form=True, text="red mug", rerank="false")
    assert response.json()["rerank"]["status"] == "off"


def test_a_form_without_rerank_gets_a_late_order(ask: Ask, contrary: None) -> None:
    assert ask(form=True, text="red mug").json()["rerank"]["status"] == "pending"


def test_without_a_reranker_the_late_answer_is_the_first_one(
    ask: Ask, api: APIClient, catalogue: Any
) -> None:
    first = ask(text="red mug")
    late = api.get(reverse("mmsearch_api:rerank", args=[first.json()["id"]]))
    assert titles(late) == titles(first)
    assert late.json()["rerank"] == {"status": "off", "url": None}
