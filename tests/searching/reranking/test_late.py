"""The late order, requested again after the shop changed."""

from __future__ import annotations

from typing import Any

import pytest

from example_shop.models import Product
from mmsearch_app import search
from mmsearch_app.searching import tickets
from tests.searching.reranking.conftest import Mugs, Use
from tests.searching.reranking.parts import titles

pytestmark = pytest.mark.django_db


def hide(title: str, *, hidden: bool = True) -> None:
    Product.objects.filter(title=title).update(is_public=not hidden)


def test_a_product_shown_again_comes_last(mugs: Mugs) -> None:
    token = tickets.issue(search("red mug", rerank=False))
    hide("blue shirt")
    first = tickets.rerank_late(token)
    assert len(first.hits) == 5
    hide("blue shirt", hidden=False)
    again = tickets.rerank_late(token)
    assert titles(again) == [*titles(first), "blue shirt"]
    assert len(mugs.calls) == 1


def test_several_products_shown_again_keep_the_order_of_the_index(mugs: Mugs) -> None:
    plain = search("red mug", rerank=False)
    token, gone = tickets.issue(plain), titles(plain)[1:3]
    for title in gone:
        hide(title)
    tickets.rerank_late(token)
    for title in gone:
        hide(title, hidden=False)
    assert titles(tickets.rerank_late(token))[-2:] == gone


def test_a_reason_goes_with_its_product(mugs: Mugs) -> None:
    token = tickets.issue(search("red mug", rerank=False))
    best = tickets.rerank_late(token)
    assert best.reason
    hide(titles(best)[0])
    again = tickets.rerank_late(token)
    assert again.reason == ""
    assert not any(hit.reason for hit in again.hits)


def test_an_order_without_weight_is_made_once(mugs: Mugs, use: Use) -> None:
    use(RERANK_WEIGHT=0.0)
    token = tickets.issue(search("red mug", rerank=False))
    found: list[Any] = [tickets.rerank_late(token) for _ in range(2)]
    assert [(answer.ranked_by, answer.judged) for answer in found] == [("index", True)] * 2
    assert titles(found[0]) == titles(found[1])
    assert len(mugs.calls) == 1
