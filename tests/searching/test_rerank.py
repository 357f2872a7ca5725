"""Stage 3: a reranker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from example_shop.models import Product
from mmsearch_app import search
from mmsearch_app.backends import get_reranker
from mmsearch_app.indexing import ledger
from mmsearch_app.inference.content import Content
from mmsearch_app.models import Entry
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.searching.search import search as search_function
from tests.shop import Sell, picture, work
from tests.shop_kit import titles

pytestmark = pytest.mark.django_db

Catalogue = dict[str, Product]


class Backwards:
    """Reverses the order and gives a reason; can also fail or return an incomplete order."""

    fingerprint = "backwards-1"

    def __init__(self, *, fault: str = "") -> None:
        self.fault = fault
        self.asked: list[tuple[Content, Sequence[Content]]] = []

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        self.asked.append((query, candidates))
        if self.fault == "fails":
            raise ConnectionError("https://user:secret@models")
        count = len(candidates)
        if self.fault == "forgets":
            count -= 1
        return Ranking(
            order=tuple(reversed(range(count))),
            reason="It is the last one.",
            caption="A red mug.",
            repairs=2 if self.fault == "repaired" else 0,
        )


@pytest.fixture
def reranker(use: Callable[..., None], sell: Sell, request: pytest.FixtureRequest) -> Backwards:
    """The reranker of a shop with six products; parametrize indirectly to make it fail."""
    fault = getattr(request, "param", "")
    options = {"fault": fault}
    use(
        RERANKER={"BACKEND": "tests.searching.test_rerank.Backwards", "OPTIONS": options},
        RERANK_WEIGHT=1.0,
        RERANK_LIMIT=4,
    )
    for number in range(6):
        sell("red mug" + " extra" * number, colour="red")
    work()
    found = get_reranker()
    assert isinstance(found, Backwards)
    return found


def test_without_a_reranker_the_index_ranks(shop: Catalogue) -> None:
    assert get_reranker() is None
    assert search("red mug").ranked_by == "index"


def test_the_first_hits_get_the_rerankers_order(reranker: Backwards) -> None:
    plain = titles(search("red mug", rerank=False))
    found = search("red mug")
    assert titles(found) == [*reversed(plain[:4]), *plain[4:]]
    assert found.ranked_by == "reranker"


def test_the_answer_says_why(reranker: Backwards) -> None:
    found = search("red mug")
    assert (found.reason, found.caption) == ("It is the last one.", "A red mug.")
    assert found.hits[0].reason == "It is the last one."
    assert {hit.reason for hit in found.hits[1:]} == {""}
    assert "rerank" in found.timings


def test_the_model_sees_the_question_and_every_candidates_image_and_title(
    reranker: Backwards,
) -> None:
    search("red mug", image=picture("red"))
    ((query, candidates),) = reranker.asked
    assert query.text == "red mug"
    assert query.image is not None
    assert len(candidates) == 4
    assert all(c.image is not None and "red mug" in (c.text or "") for c in candidates)


def test_a_candidate_without_a_readable_image_is_shown_by_its_title(reranker: Backwards) -> None:
    import os

    from example_shop.models import ProductImage

    for image in ProductImage.objects.all():
        os.remove(image.original.path)
    assert search("red mug").ranked_by == "reranker"
    ((_query, candidates),) = reranker.asked
    assert {content.image for content in candidates} == {None}


def test_a_reranker_without_any_weight_changes_nothing(
    reranker: Backwards, use: Callable[..., None]
) -> None:
    use(RERANK_WEIGHT=0.0)
    ledger.retry(Entry.objects.all())
    work()
    assert titles(search("red mug")) == titles(search("red mug", rerank=False))


def test_rerank_false_does_not_call_the_reranker(reranker: Backwards) -> None:
    assert search("red mug", rerank=False).ranked_by == "index"
    assert reranker.asked == []


def test_later_pages_keep_the_order_of_the_index(reranker: Backwards) -> None:
    assert search("red mug", limit=2, offset=2).ranked_by == "index"
    assert reranker.asked == []


def test_a_single_hit_is_not_reranked(reranker: Backwards) -> None:
    search("red mug", limit=1)
    assert reranker.asked == []


@pytest.mark.parametrize("reranker", ["fails", "forgets"], indirect=True)
def test_a_reranker_that_fails_leaves_the_order_of_the_index_and_a_note(
    reranker: Backwards,
) -> None:
    plain = titles(search("red mug", rerank=False))
    found = search("red mug")
    assert titles(found) == plain
    assert found.ranked_by == "index"
    (note,) = found.notes
    assert "the reranker failed" in note
    assert "secret" not in note


@pytest.mark.parametrize("reranker", ["repaired"], indirect=True)
def test_repairs_are_counted_in_a_note(reranker: Backwards) -> None:
    assert search("red mug").notes == ("2 repairs of the reranker's reply.",)


@pytest.mark.parametrize("order", [(0, 1, 1), (0, 2), (1, 2, 3), (0, -1, 1)])
def test_an_incomplete_order_is_refused(order: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="permutation"):
        Ranking(order=order)


def test_there_must_be_one_grade_per_candidate() -> None:
    assert Ranking(order=(1, 0), grades=(1.0, 2.0)).grades == (1.0, 2.0)
    with pytest.raises(ValueError, match="1 grades for 2 candidates"):
        Ranking(order=(1, 0), grades=(1.0,))


def test_the_public_function_is_the_modules_function() -> None:
    assert search is search_function


@pytest.mark.parametrize("order", [(0.0, 1.0), ("0", "1"), (0, 1.5)])
def test_places_must_be_integers(order: Any) -> None:
    with pytest.raises(ValueError, match="order must be a permutation"):
        Ranking(order=order)


def test_places_may_be_numpy_integers() -> None:
    assert Ranking(order=tuple(np.argsort([2, 1]))).order == (1, 0)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), "1", None])
def test_grades_and_agreement_must_be_finite(number: Any) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        Ranking(order=(1, 0), grades=(1.0, number))
    if number is not None:
        with pytest.raises(ValueError, match="must be finite"):
            Ranking(order=(1, 0), agreement=number)
