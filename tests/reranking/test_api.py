"""The late, better order by API."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from mmsearch_app import conf
from tests.reranking.conftest import Use
from tests.reranking.parts import Moody

pytestmark = pytest.mark.django_db

Mugs = type[Moody]


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


def test_a_question_asked_before_has_the_better_order_at_once(mugs: Mugs) -> None:
    late = APIClient().get(ask(text="red mug")["rerank"]["url"]).json()
    again = ask(text="red mug")
    assert again["rerank"]["status"] == "done"
    assert again["ranked_by"] == "reranker"
    assert products(again) == products(late)
    assert len(mugs.calls) == 1


def test_who_wants_no_better_order_gets_none_even_if_it_is_known(mugs: Mugs) -> None:
    first = ask(text="red mug")
    APIClient().get(first["rerank"]["url"])
    again = ask(text="red mug", rerank=False)
    assert products(again) == products(first)
    assert again["ranked_by"] == "index"


def test_a_failure_is_said_and_asking_again_tries_again(mugs: Mugs) -> None:
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


def test_a_hanging_model_is_said_within_the_deadline(mugs: Mugs, use: Use) -> None:
    use(RERANK_TIMEOUT=0.2)
    first = ask(text="red mug")
    mugs.gate.clear()
    begun = time.monotonic()
    failed = APIClient().get(first["rerank"]["url"]).json()
    assert time.monotonic() - begun < 15  # the model hangs for twice as long
    assert failed["rerank"]["status"] == "failed"
    assert "took longer" in failed["notes"][0]


def test_a_single_product_needs_no_better_order(mugs: Mugs) -> None:
    assert ask(text="red mug", limit=1)["rerank"] == {"status": "off", "url": None}


@pytest.mark.django_db(transaction=True)
def test_a_crowd_is_told_to_come_back(mugs: Mugs, use: Use) -> None:
    use(RERANK_CONCURRENCY=1, RERANK_QUEUE=0)
    first, other = ask(text="red mug"), ask(text="blue shirt")
    mugs.gate.clear()

    def occupy() -> None:
        from django.db import connections

        APIClient().get(first["rerank"]["url"])
        connections.close_all()

    thread = threading.Thread(target=occupy)
    thread.start()
    until = time.monotonic() + 10
    while not conf.get_guard()._flights:
        assert time.monotonic() < until
        time.sleep(0.01)
    refused = APIClient().get(other["rerank"]["url"])
    mugs.gate.set()
    thread.join()
    assert refused.status_code == 503
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    assert APIClient().get(other["rerank"]["url"]).json()["rerank"]["status"] == "done"
