"""The late order on the search page without JavaScript, by a link."""

from __future__ import annotations

from html import unescape
from io import BytesIO
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from PIL import Image

from mmsearch_app import search
from mmsearch_app.searching import tickets
from tests.searching.reranking.conftest import Mugs, Use
from tests.searching.reranking.parts import crowd
from tests.storefront.asking import SEARCH, titles, upload

pytestmark = pytest.mark.django_db

LINK = "Show the better order"
FAILED = "could not be made this time"


def shown(response: Any) -> str:
    """The text of the page, without tags."""
    return unescape(response.text)


def test_the_first_page_waits_for_no_model_and_offers_a_link(client: Client, mugs: Mugs) -> None:
    response = client.get(SEARCH, {"text": "red mug"})
    assert mugs.calls == []
    assert LINK in response.text
    assert response.context["answer"].ranked_by == "index"


def test_the_link_leads_to_the_better_order_and_its_reason(client: Client, mugs: Mugs) -> None:
    first = client.get(SEARCH, {"text": "red mug"})
    better = client.get(first.context["better_url"])
    assert better.status_code == 200
    assert titles(better) == [*reversed(titles(first))]
    assert "It is &lt;b&gt;best&lt;/b&gt;." in better.text
    assert "<b>best" not in better.text
    assert LINK not in better.text
    assert 'value="red mug"' in better.text


@pytest.mark.parametrize("question", [{"text": "mug", "price__lte": "13"}, {"like": "first"}])
def test_the_link_keeps_the_whole_question(
    client: Client, mugs: Mugs, shop: Any, question: dict[str, str]
) -> None:
    if "like" in question:
        question = {"like": str(shop["red mug"].pk), "text": "in green"}
    first = client.get(SEARCH, question)
    better = client.get(first.context["better_url"])
    assert titles(better) == [*reversed(titles(first))]


def test_an_upload_has_a_late_order_too(client: Client, mugs: Mugs) -> None:
    first = client.post(SEARCH, {"image": upload(), "text": "mug"})
    better = client.get(first.context["better_url"])
    assert titles(better) == [*reversed(titles(first))]
    ((query, _),) = mugs.calls
    assert query.image is not None


def test_a_repeated_question_is_shown_in_the_late_order_at_once(client: Client, mugs: Mugs) -> None:
    better = client.get(client.get(SEARCH, {"text": "red mug"}).context["better_url"])
    again = client.get(SEARCH, {"text": "red mug"})
    assert titles(again) == titles(better)
    assert LINK not in again.text
    assert len(mugs.calls) == 1


def test_an_upload_is_ranked_once_however_often_its_page_is_reloaded(
    client: Client, mugs: Mugs
) -> None:
    noise = BytesIO()
    Image.effect_noise((90, 70), 80).convert("RGB").save(noise, "PNG")  # each JPEG is different
    first = client.post(SEARCH, {"image": upload(noise.getvalue())})
    client.get(first.context["better_url"])
    for _ in range(3):
        again = client.get(first.context["address"])
        assert again.context["answer"].ranked_by == "reranker"
    assert len(mugs.calls) == 1


def test_a_failure_is_reported_and_can_be_retried(client: Client, mugs: Mugs) -> None:
    first = client.get(SEARCH, {"text": "red mug"})
    assert FAILED not in visible_status(first)
    mugs.fails = True
    failed = client.get(first.context["better_url"])
    assert failed.status_code == 200
    assert titles(failed) == titles(first)
    assert FAILED in visible_status(failed)
    assert "secret" not in failed.text
    mugs.fails = False
    better = client.get(failed.context["better_url"])
    assert better.context["answer"].ranked_by == "reranker"


def visible_status(response: Any) -> str:
    tag = shown(response).partition("data-mmsearch-better-status")[2]
    return tag.partition(">")[2].partition("</p>")[0]


@pytest.mark.parametrize("token", ["nonsense", "a:b:c", "\0"])
def test_a_forged_token_is_a_plain_search(client: Client, mugs: Mugs, token: str) -> None:
    response = client.get(SEARCH, {"text": "red mug", "rerank": token})
    assert response.status_code == 200
    assert response.context["answer"].ranked_by == "index"


def test_an_old_link_is_a_plain_search(client: Client, mugs: Mugs) -> None:
    address = client.get(SEARCH, {"text": "red mug"}).context["better_url"]
    cache.clear()
    response = client.get(address)
    assert response.status_code == 200
    assert response.context["answer"].ranked_by == "index"
    assert LINK in response.text


def test_a_token_of_another_question_changes_nothing(client: Client, mugs: Mugs) -> None:
    token = tickets.issue(search("blue shirt", rerank=False))
    response = client.get(SEARCH, {"text": "red mug", "rerank": token})
    assert response.context["answer"].query.text == "red mug"
    assert mugs.calls == []


def test_a_token_of_another_image_changes_nothing(client: Client, mugs: Mugs) -> None:
    from tests.storefront.conftest import draw

    other = tickets.issue(search(image=draw("red"), rerank=False))
    first = client.post(SEARCH, {"image": upload(draw("green"))})
    client.get(first.context["address"], {"rerank": other})
    response = client.get(f"{first.context['address']}&rerank={other}")
    assert response.context["answer"].ranked_by == "index"
    assert mugs.calls == []


def test_words_changed_after_the_better_order_are_a_new_question(
    client: Client, mugs: Mugs
) -> None:
    better = client.get(client.get(SEARCH, {"text": "red mug"}).context["better_url"])
    assert "rerank" not in better.context["address"]
    assert 'name="rerank"' not in better.text


@pytest.mark.usefixtures("cache_down")
def test_an_unavailable_cache_breaks_no_page(client: Client, mugs: Mugs) -> None:
    first = client.get(SEARCH, {"text": "red mug"})
    assert first.status_code == 200
    later = client.get(first.context["better_url"])
    assert (later.status_code, titles(later)) == (200, titles(first))
    assert client.post(SEARCH, {"image": upload()}).status_code == 200


def test_an_order_with_no_weight_is_shown_as_the_index_order_and_not_offered_again(
    client: Client, mugs: Mugs, use: Use
) -> None:
    use(RERANK_WEIGHT=0.0)
    first = client.get(SEARCH, {"text": "red mug"})
    better = client.get(first.context["better_url"])
    assert titles(better) == titles(first)
    assert "data-mmsearch-judged" in better.text
    assert "data-mmsearch-judged" not in first.text
    assert LINK not in better.text
    assert FAILED not in better.text


def test_the_reason_is_shown_at_its_product(client: Client, mugs: Mugs, use: Use) -> None:
    use(RERANK_WEIGHT=0.2)
    better = client.get(client.get(SEARCH, {"text": "red mug"}).context["better_url"])
    answer = better.context["answer"]
    assert "mmsearch-reason" not in better.text
    (reasoned,) = [hit for hit in answer.hits if hit.reason == answer.reason]
    assert answer.hits.index(reasoned) > 0
    assert better.text.count("It is &lt;b&gt;best&lt;/b&gt;.") == 1


def test_later_pages_and_single_products_offer_no_late_order(client: Client, mugs: Mugs) -> None:
    assert LINK not in client.get(SEARCH, {"text": "red mug", "offset": "2"}).text
    assert LINK not in client.get(SEARCH, {"text": "red mug", "price__lte": "10"}).text


def test_without_a_reranker_nothing_is_offered(client: Client, shop: Any) -> None:
    response = client.get(SEARCH, {"text": "red mug"})
    assert LINK not in response.text
    assert "better.js" not in response.text


@pytest.mark.django_db(transaction=True)
def test_a_busy_shop_keeps_the_first_order_and_shows_when_to_retry(
    client: Client, mugs: Mugs, use: Use
) -> None:
    use(RERANK_CONCURRENCY=1, RERANK_QUEUE=0)
    first = client.get(SEARCH, {"text": "red mug"})
    with crowd(mugs, lambda: search("blue shirt")):
        busy = client.get(first.context["better_url"])
    assert busy.status_code == 503
    assert int(busy.headers["Retry-After"]) > 0
    assert titles(busy) == titles(first)
    assert LINK in busy.text
