"""The search page's results."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.response import TemplateResponse
from django.test import Client
from django.urls import resolve, reverse

from example_shop.models import Product
from mmsearch_app.indexing import rebuild
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.storefront.views import SearchView

from .asking import SEARCH, Shop, titles

pytestmark = pytest.mark.django_db


def test_a_visitors_words_are_escaped(client: Client, shop: Shop) -> None:
    page = client.get(SEARCH, {"text": '"><script>alert(1)</script>'}).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


class BoastfulReranker:
    """Replies with markup, as a model might after a prompt injection."""

    fingerprint = "boastful"

    def rerank(self, query: Any, candidates: Any) -> Ranking:
        return Ranking(
            order=tuple(range(len(candidates))), reason="<b>best</b>", caption="<i>mug</i>"
        )


def test_a_models_words_are_escaped(client: Client, shop: Shop, settings: Any) -> None:
    settings.MMSEARCH = {
        **settings.MMSEARCH,
        "RERANKER": {"BACKEND": f"{__name__}.BoastfulReranker"},
    }
    rebuild.rebuild_index()
    first = client.get(SEARCH, {"text": "red mug"})
    page = client.get(first.context["better_url"]).text
    assert "&lt;b&gt;best&lt;/b&gt;" in page
    assert "<b>best" not in page
    assert "<i>mug" not in page


def test_a_poor_best_match_is_reported(client: Client, shop: Shop, settings: Any) -> None:
    settings.MMSEARCH = {**settings.MMSEARCH, "MIN_SCORE": 0.99}
    rebuild.rebuild_index()
    response = client.get(SEARCH, {"text": "chandelier"})
    assert "Nothing fits really well" in response.text
    assert titles(response)


def test_no_results_show_a_friendly_message(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "red", "price__gte": "1000"})
    assert response.status_code == 200
    assert "Nothing was found." in response.text


def test_every_card_links_to_similar_products(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "red"})
    hits = response.context["answer"].hits
    for hit in hits:
        assert f'href="{SEARCH}?like={hit.product.pk}"' in response.text
        assert f'data-mmsearch-hit="example_shop.productimage:{hit.image.pk}"' in response.text
    assert response.text.count(">More like this, but …<span") == len(hits)


def test_suggestions_are_shown_for_an_image_and_keep_the_filters(
    client: Client, shop: Shop
) -> None:
    key = str(shop["red mug"].pk)
    response = client.get(SEARCH, {"like": key, "price__lte": "14"})
    links = {chip.label: chip.url for chip in response.context["chips"]}
    assert links["in black"] == f"{SEARCH}?like={key}&price__lte=14&text=in+black"
    assert client.get(links["in black"]).status_code == 200


def test_the_current_suggestion_is_marked_and_can_be_removed(client: Client, shop: Shop) -> None:
    key = str(shop["red mug"].pk)
    response = client.get(SEARCH, {"like": key, "text": "striped"})
    (chip,) = [chip for chip in response.context["chips"] if chip.active]
    assert (chip.label, chip.url) == ("striped", f"{SEARCH}?like={key}")


def test_cheaper_means_below_the_price_of_the_product(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"like": shop["blue mug"].pk})
    (chip,) = [chip for chip in response.context["chips"] if chip.label == "cheaper"]
    assert sorted(titles(client.get(chip.url))) == ["green mug", "red mug"]


def test_a_shop_has_suggestions_of_its_own(shop: Shop, rf: Any) -> None:
    view = SearchView.as_view(suggestions=["in tweed"])
    response = view(rf.get(SEARCH, {"like": shop["red mug"].pk}))
    assert isinstance(response, TemplateResponse)
    assert "in tweed</a>" in response.rendered_content


def test_no_transaction_is_open_while_a_model_runs() -> None:
    for name in ("mmsearch:search", "mmsearch:picture"):
        view: Any = resolve(reverse(name, args=["x"] if "picture" in name else [])).func
        assert None in view._non_atomic_requests or "default" in view._non_atomic_requests


def test_words_alone_get_no_suggestions(client: Client, shop: Shop) -> None:
    assert client.get(SEARCH, {"text": "red"}).context["chips"] == []


def test_hidden_products_do_not_appear(client: Client, shop: Shop) -> None:
    Product.objects.filter(title="red mug").update(is_public=False)
    assert "red mug" not in titles(client.get(SEARCH, {"text": "red mug"}))


def test_the_number_of_queries_does_not_grow_with_the_results(
    client: Client, shop: Shop, settings: Any, django_assert_max_num_queries: Any
) -> None:
    taken = []
    client.get(SEARCH)  # the shop's navigation is known from now on
    for limit in (2, 6):
        settings.MMSEARCH = {**settings.MMSEARCH, "LIMIT": limit}
        rebuild.rebuild_index()
        with django_assert_max_num_queries(8) as captured:
            response = client.get(SEARCH, {"text": "red"})
        assert len(titles(response)) == limit
        taken.append(len(captured))
    assert taken[0] == taken[1]
