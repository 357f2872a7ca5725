"""Tickets repeat a question, for the next page and for the late order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core import signing
from django.core.cache import cache

from example_shop.models import Product, ProductImage
from mmsearch_app import ImageSource, search
from mmsearch_app.searching import tickets
from mmsearch_app.searching.query import Answer, InvalidQuery
from mmsearch_app.searching.search import answer
from mmsearch_app.searching.tickets import Expired, Forged, TicketError
from mmsearch_app.testing import index_everything, registered
from tests.searching.test_rerank import Backwards
from tests.searching.test_rerank import reranker as reranker
from tests.shop import EmbedderWithMoods, Sell, picture, work
from tests.shop_kit import titles

pytestmark = pytest.mark.django_db

Catalogue = dict[str, Product]


def test_a_ticket_restores_the_question(shop: Catalogue) -> None:
    found = search("mug", without="blue", filters={"price__lte": 20}, limit=3)
    query = tickets.redeem(tickets.issue(found))
    assert (query.text, query.without, query.limit) == ("mug", "blue", 3)
    assert query.filters == {"price__lte": 20}
    assert titles(answer(query)) == titles(found)


def test_a_ticket_restores_the_image_but_not_the_uploaded_bytes(shop: Catalogue) -> None:
    found = search(image=picture("red", side=100), limit=2)
    query = tickets.redeem(tickets.issue(found))
    assert query.image is not None
    assert query.image.size == (100, 100)
    middle = query.image.getpixel((50, 50))
    assert isinstance(middle, tuple)
    assert abs(middle[0] - 200) < 8
    assert titles(answer(query)) == titles(found)


def test_a_ticket_restores_the_product(shop: Catalogue) -> None:
    query = tickets.redeem(tickets.issue(search(like=shop["red mug"])))
    assert query.like == shop["red mug"]


def test_the_next_page_of_an_image_search_embeds_nothing(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    from dataclasses import replace

    first = search(image=picture("red"), limit=2)
    token, before = tickets.issue(first), embedder.queries
    second = answer(replace(tickets.redeem(token), offset=2))
    assert embedder.queries == before
    assert not set(titles(first)) & set(titles(second))
    assert len(second.hits) == 2


def test_a_vector_of_another_model_is_not_reused(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    token = tickets.issue(search("mug"))
    embedder.fingerprint = "another-model"
    assert tickets.redeem(token).vector is None


@pytest.mark.parametrize("token", ["", "nonsense", "a:b:c", "a" * 5000, "\0", "é:x:y"])
def test_a_random_text_is_refused_as_forged(token: str) -> None:
    with pytest.raises(Forged, match="not valid"):
        tickets.redeem(token)


def test_a_changed_ticket_is_refused_as_forged(shop: Catalogue) -> None:
    token = tickets.issue(search("mug"))
    with pytest.raises(Forged):
        tickets.redeem(("b" if token[0] == "a" else "a") + token[1:])


def test_a_token_signed_for_another_purpose_is_refused_as_forged() -> None:
    with pytest.raises(Forged):
        tickets.redeem(signing.dumps("name", salt="another.purpose"))


def test_an_old_ticket_is_expired(shop: Catalogue) -> None:
    token = tickets.issue(search("mug"))
    cache.clear()
    with pytest.raises(Expired, match="search again"):
        tickets.redeem(token)


def test_the_lifetime_of_a_ticket_is_a_setting(
    use: Callable[..., None], sell: Sell, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    use(RERANK_SECONDS=60)
    sell()
    work()
    token, now = tickets.issue(search("mug")), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 58)
    assert tickets.redeem(token).text == "mug"
    monkeypatch.setattr(time, "time", lambda: now + 62)
    with pytest.raises(Expired):
        tickets.redeem(token)


def test_a_ticket_whose_product_is_gone_is_expired(shop: Catalogue) -> None:
    token = tickets.issue(search(like=shop["red mug"]))
    shop["red mug"].delete()
    with pytest.raises(Expired):
        tickets.redeem(token)


def test_errors_about_tickets_are_texts_for_visitors() -> None:
    assert issubclass(TicketError, InvalidQuery)
    assert issubclass(Expired, TicketError)
    assert issubclass(Forged, TicketError)


def test_an_answer_without_its_question_has_no_ticket() -> None:
    with pytest.raises(ValueError, match="carries its query"):
        tickets.issue(Answer())


def test_the_late_order_is_the_rerankers(reranker: Backwards) -> None:
    plain = search("red mug", rerank=False)
    late = tickets.rerank_late(tickets.issue(plain))
    assert titles(late) == [*reversed(titles(plain)[:4]), *titles(plain)[4:]]
    assert late.ranked_by == "reranker"
    assert late.hits[0].reason == "It is the last one."


def test_the_late_order_is_made_once_and_stays_the_same(reranker: Backwards) -> None:
    token = tickets.issue(search("red mug", rerank=False))
    orders = [titles(tickets.rerank_late(token)) for _ in range(3)]
    assert orders[0] == orders[1] == orders[2]
    assert len(reranker.asked) == 1


def test_the_late_order_shows_the_uploaded_image_to_the_model(reranker: Backwards) -> None:
    tickets.rerank_late(tickets.issue(search("mug", image=picture("red"), rerank=False)))
    ((query, _candidates),) = reranker.asked
    assert query.image is not None
    assert query.text == "mug"


@pytest.mark.parametrize("reranker", ["fails"], indirect=True)
def test_a_late_order_that_failed_is_tried_again(reranker: Backwards) -> None:
    token = tickets.issue(search("red mug", rerank=False))
    assert tickets.rerank_late(token).ranked_by == "index"
    reranker.fault = ""
    assert tickets.rerank_late(token).ranked_by == "reranker"


def test_the_late_order_omits_products_hidden_meanwhile(reranker: Backwards) -> None:
    token = tickets.issue(search("red mug", rerank=False))
    before = titles(tickets.rerank_late(token))
    Product.objects.filter(title=before[0]).update(is_public=False)
    assert titles(tickets.rerank_late(token)) == before[1:]


def test_without_a_reranker_the_late_order_is_the_first(shop: Catalogue) -> None:
    found = search("red mug")
    assert titles(tickets.rerank_late(tickets.issue(found))) == titles(found)


@pytest.mark.parametrize("token", ["", "nonsense"])
def test_the_late_order_needs_a_valid_ticket(token: str) -> None:
    with pytest.raises(Forged):
        tickets.rerank_late(token)


class Thumbnails(ImageSource):
    name = "a-thumbnails"
    image = "original"
    product = "product"

    def get_title(self, row: Any) -> str:
        return f"thumbnail of {row.product}"


def test_a_ticket_stores_which_of_two_sources_found_a_hit(shop: Catalogue) -> None:
    with registered(Thumbnails(ProductImage)):
        index_everything()
        found = search("thumbnail of red mug")
        late = tickets.rerank_late(tickets.issue(found))
        assert [hit.source for hit in late.hits] == [hit.source for hit in found.hits]
        assert titles(late) == titles(found)
        assert "thumbnail" in titles(late)[0]


def hide_from_guests(source: Any, rows: Any, user: Any) -> Any:
    return rows if user == "staff" else rows.exclude(product__title="red mug")


SOURCE = "example_shop.mmsearch.ProductImages"


def test_another_visitor_reads_no_text_about_a_product_hidden_from_them(
    reranker: Backwards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SOURCE}.visible_to", hide_from_guests)
    token = tickets.issue(search("red mug", user="staff", rerank=False))
    ours = tickets.rerank_late(token, user="staff")
    theirs = tickets.rerank_late(token)
    assert ours.reason == "It is the last one."
    assert (theirs.reason, theirs.caption) == ("", "")
    assert not any(hit.reason for hit in theirs.hits)
    assert titles(theirs) == [title for title in titles(ours) if title != "red mug"]
    assert tickets.rerank_late(token, user="staff").reason == ours.reason


def test_another_visitor_cannot_go_on_from_a_product_hidden_from_them(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SOURCE}.visible_to", hide_from_guests)
    token = tickets.issue(search(like=shop["red mug"].pk, user="staff", rerank=False))
    assert tickets.rerank_late(token, user="staff").hits
    with pytest.raises(Expired, match="no longer available"):
        tickets.rerank_late(token)
