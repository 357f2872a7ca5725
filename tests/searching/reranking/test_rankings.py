"""The cache of rankings: which changes call the model again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.base import ContentFile
from PIL import Image

from example_shop.models import Product, ProductImage
from mmsearch_app import search
from mmsearch_app.searching import tickets
from mmsearch_app.searching.cache import ranking_name
from mmsearch_app.searching.rerank import apply_known
from mmsearch_app.searching.search import answer
from mmsearch_app.testing import index_everything
from tests.searching.reranking.conftest import Mugs, Use
from tests.searching.reranking.parts import Moody, titles
from tests.storefront.conftest import draw

pytestmark = pytest.mark.django_db


def late(**question: Any) -> Any:
    return tickets.rerank_late(tickets.issue(search(**question, rerank=False)))


def test_the_same_question_again_costs_no_call(mugs: Mugs) -> None:
    first = search("red mug", image=draw("red"))
    again = search("red mug", image=draw("red"))
    assert (titles(again), again.reason) == (titles(first), first.reason)
    assert again.ranked_by == "reranker"
    assert len(mugs.calls) == 1


def test_the_late_order_of_the_same_question_costs_no_call(mugs: Mugs, shop: Any) -> None:
    for question in ({"text": "red mug"}, {"image": draw("red")}, {"like": shop["red mug"]}):
        mugs.calls.clear()
        orders = [titles(late(**question)), titles(search(**question)), titles(late(**question))]
        assert orders[0] == orders[1] == orders[2]
        assert len(mugs.calls) == 1


def test_an_image_stays_the_same_through_many_tickets(mugs: Mugs) -> None:
    noise = Image.effect_noise((90, 70), 80).convert("RGB")
    query = tickets.redeem(tickets.issue(search(image=noise, rerank=False)))
    for _ in range(3):
        query = tickets.redeem(tickets.issue(answer(replace(query, rerank=False))))
    search(image=noise)
    answer(replace(query, rerank=True))
    assert len(mugs.calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"text": "red mugs"},
        {"text": "red mug", "without": "blue"},
        {"text": "red mug", "image": draw("red")},
        {"text": "red mug", "filters": {"price__lte": 13}},
    ],
)
def test_a_different_question_is_a_new_call(mugs: Mugs, other: dict[str, Any]) -> None:
    search("red mug")
    search(**other)
    assert len(mugs.calls) == 2


@pytest.mark.parametrize(
    "change", [{"text": "other"}, {"without": "other"}, {"image": Image.new("RGB", (9, 9))}]
)
def test_every_part_of_the_question_counts(mugs: Mugs, change: dict[str, Any]) -> None:
    found = search("red mug", rerank=False)
    assert found.query is not None
    same = ranking_name("m", found.query, found.hits)
    assert same == ranking_name("m", replace(found.query), found.hits)
    assert same != ranking_name("m", replace(found.query, **change), found.hits)
    assert same != ranking_name("n", found.query, found.hits)
    assert same != ranking_name("m", found.query, found.hits[::-1])


def test_a_different_image_of_a_candidate_is_a_new_call(mugs: Mugs, shop: Any) -> None:
    search("red mug")
    image = ProductImage.objects.get(product=shop["red mug"])
    image.original.save("new.png", ContentFile(draw("red", side=99)))
    index_everything()
    search("red mug")
    assert len(mugs.calls) == 2


def test_a_different_title_is_a_new_call(mugs: Mugs, shop: Any) -> None:
    search("red mug")
    Product.objects.filter(pk=shop["blue mug"].pk).update(title="azure mug")
    search("red mug")
    assert len(mugs.calls) == 2


def test_a_different_model_is_a_new_call(mugs: Mugs, monkeypatch: pytest.MonkeyPatch) -> None:
    search("red mug")
    monkeypatch.setattr(mugs, "fingerprint", "moody-2")
    search("red mug")
    assert len(mugs.calls) == 2


def test_a_failure_is_not_cached(mugs: Mugs) -> None:
    mugs.fails = True
    assert search("red mug").ranked_by == "index"
    mugs.fails = False
    assert search("red mug").ranked_by == "reranker"


@pytest.mark.usefixtures("cache_down")
def test_an_unavailable_cache_only_means_no_caching(mugs: Mugs) -> None:
    assert search("red mug").ranked_by == "reranker"


@pytest.mark.usefixtures("cache_down")
def test_a_ticket_is_expired_if_the_cache_is_unavailable(mugs: Mugs) -> None:
    token = tickets.issue(search("red mug", rerank=False))
    with pytest.raises(tickets.Expired):
        tickets.rerank_late(token)


def test_the_late_order_needs_the_cache_only_for_its_ticket(
    mugs: Mugs, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tickets.issue(search("red mug", rerank=False))
    kept = cache.get
    monkeypatch.setattr(cache, "get", lambda key: kept(key) if key.count(":") == 3 else 1 / 0)
    monkeypatch.setattr(cache, "set", lambda *_: 1 / 0)
    assert tickets.rerank_late(token).ranked_by == "reranker"


def test_a_new_first_image_of_the_reference_product_is_a_new_question(
    mugs: Mugs, shop: Any
) -> None:
    mug = shop["red mug"]
    ProductImage.objects.create(product=mug, position=1).original.save(
        "side.png", ContentFile(draw("blue", side=99))
    )
    index_everything()
    found = search(like=mug, rerank=False)
    assert found.query is not None
    before = ranking_name("m", found.query, found.hits)
    assert before == ranking_name("m", found.query, found.hits)
    for image in mug.images.all():
        ProductImage.objects.filter(pk=image.pk).update(position=1 - image.position)
    again = search(like=mug, rerank=False)
    assert again.query is not None
    assert before != ranking_name("m", again.query, found.hits)


class Nameless(Moody):
    """A reranker whose fingerprint cannot be read."""

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        raise ConnectionError("the models are down")


def test_a_model_without_a_fingerprint_only_means_no_caching(mugs: Mugs, use: Use) -> None:
    use(RERANKER={"BACKEND": f"{__name__}.Nameless"})
    for _ in range(2):
        assert search("red mug").ranked_by == "reranker"
        assert late(text="red mug").ranked_by == "reranker"
    assert len(mugs.calls) == 4
    assert apply_known(search("red mug", rerank=False)).ranked_by == "index"


def test_invalid_cache_contents_are_ignored(mugs: Mugs) -> None:
    search("red mug")
    for key in list(cache._cache):  # type: ignore[attr-defined]
        cache.set(key.split(":", 2)[2], "nonsense")
    assert search("red mug").ranked_by == "reranker"
    assert len(mugs.calls) == 2


@pytest.mark.parametrize("said", [{"repairs": "two"}, {"agreement": float("nan")}])
def test_an_invalid_ranking_is_not_cached(mugs: Mugs, said: dict[str, Any]) -> None:
    mugs.said.update(said)
    assert "the reranker failed" in search("red mug").notes[0]
    mugs.said.clear()
    assert search("red mug").ranked_by == "reranker"
