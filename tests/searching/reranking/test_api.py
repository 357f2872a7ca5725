"""The late order by API."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from tests.searching.reranking.conftest import Mugs, Use
from tests.searching.reranking.parts import crowd

pytestmark = pytest.mark.django_db


def ask(**question: Any) -> Any:
    response = APIClient().post(reverse("mmsearch_api:search"), question, format="json")
    assert response.status_code == 200, response.content
    return response.json()


def products(document: Any) -> list[int]:
    return [result["product"] for result in document["results"]]


def test_first_pending_then_done(mugs: Mugs) -> None:
    first = ask(text="red mug")
    assert first["rerank"]["status"] == "pending"
    late = APIClient().get(first["rerank"]["url"]).json()
    assert late["rerank"]["status"] == "done"
    assert products(late) == [*reversed(products(first))]
    assert late["results"][0]["reason"] == "It is <b>best</b>."
    assert set(late["timings"]) == {"hydrate", "rerank", "total"}


def test_a_repeated_question_has_the_late_order_at_once(mugs: Mugs) -> None:
    late = APIClient().get(ask(text="red mug")["rerank"]["url"]).json()
    again = ask(text="red mug")
    assert again["rerank"]["status"] == "done"
    assert again["ranked_by"] == "reranker"
    assert products(again) == products(late)
    assert len(mugs.calls) == 1


def test_rerank_false_gets_no_late_order_even_if_it_is_cached(mugs: Mugs) -> None:
    first = ask(text="red mug")
    APIClient().get(first["rerank"]["url"])
    again = ask(text="red mug", rerank=False)
    assert products(again) == products(first)
    assert again["ranked_by"] == "index"


def test_a_failure_is_reported_and_the_next_request_retries(mugs: Mugs) -> None:
    first = ask(text="red mug")
    mugs.fails = True
    failed = APIClient().get(first["rerank"]["url"])
    assert failed.status_code == 200
    assert failed.json()["rerank"] == {"status": "failed", "url": first["rerank"]["url"]}
    assert products(failed.json()) == products(first)
    assert "failed" in failed.json()["notes"][0]
    assert "secret" not in failed.text
    mugs.fails = False
    assert APIClient().get(first["rerank"]["url"]).json()["rerank"]["status"] == "done"


def test_a_hanging_model_is_reported_within_the_deadline(mugs: Mugs, use: Use) -> None:
    use(RERANK_TIMEOUT=0.2)
    first = ask(text="red mug")
    mugs.gate.clear()
    failed = APIClient().get(first["rerank"]["url"]).json()
    assert not mugs.gate.is_set()  # the model still hangs
    assert failed["rerank"]["status"] == "failed"
    assert "took longer" in failed["notes"][0]


@pytest.mark.usefixtures("cache_down")
def test_an_unavailable_cache_breaks_no_search(mugs: Mugs) -> None:
    first = ask(text="red mug")
    assert first["results"]
    late = APIClient().get(first["rerank"]["url"])
    assert (late.status_code, late.headers["Content-Type"]) == (410, "application/problem+json")


def test_a_model_without_a_fingerprint_breaks_no_search(mugs: Mugs, use: Use) -> None:
    use(RERANKER={"BACKEND": "tests.searching.reranking.test_rankings.Nameless"})
    late = APIClient().get(ask(text="red mug")["rerank"]["url"]).json()
    assert late["rerank"]["status"] == "done"


def test_an_order_with_no_weight_is_done_and_ranked_by_the_index(mugs: Mugs, use: Use) -> None:
    use(RERANK_WEIGHT=0.0)
    first = ask(text="red mug")
    late = APIClient().get(first["rerank"]["url"]).json()
    assert (late["rerank"]["status"], late["ranked_by"]) == ("done", "index")
    assert products(late) == products(first)
    again = ask(text="red mug")
    assert (again["rerank"]["status"], again["ranked_by"]) == ("done", "index")
    assert len(mugs.calls) == 1


def test_a_single_product_needs_no_late_order(mugs: Mugs) -> None:
    assert ask(text="red mug", limit=1)["rerank"] == {"status": "off", "url": None}


@pytest.mark.django_db(transaction=True)
def test_too_many_requests_are_told_to_come_back(mugs: Mugs, use: Use) -> None:
    use(RERANK_CONCURRENCY=1, RERANK_QUEUE=0)
    first, other = ask(text="red mug"), ask(text="blue shirt")
    with crowd(mugs, lambda: APIClient().get(first["rerank"]["url"])):
        refused = APIClient().get(other["rerank"]["url"])
    assert refused.status_code == 503
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    assert APIClient().get(other["rerank"]["url"]).json()["rerank"]["status"] == "done"
