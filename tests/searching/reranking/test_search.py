"""Searches with a reranker always have an answer in time."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from django.test import override_settings

from mmsearch_app import conf, search
from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.rerankers.fusion import fuse_scores
from mmsearch_app.searching import tickets
from mmsearch_app.searching.guard import get_guard
from mmsearch_app.searching.query import SearchUnavailable
from tests.searching.reranking.conftest import Mugs, Use
from tests.searching.reranking.guarding import end_pause
from tests.searching.reranking.parts import Moody, crowd, titles
from tests.waiting import until

pytestmark = pytest.mark.django_db


def test_a_hanging_model_takes_until_the_deadline_and_is_reported(mugs: Mugs, use: Use) -> None:
    use(RERANK_TIMEOUT=0.3)
    plain = titles(search("red mug", rerank=False))
    mugs.gate.clear()
    found = search("red mug")
    assert not mugs.gate.is_set()  # the model still hangs
    assert titles(found) == plain
    assert found.ranked_by == "index"
    assert found.notes == ("Ordered by the index: the reranker took longer than 0.3 seconds.",)


def test_after_three_failures_the_model_is_paused_and_called_again_later(
    mugs: Mugs, use: Use
) -> None:
    use(RERANK_PAUSE=600.0)
    mugs.fails = True
    for number in range(3):
        assert "failed (ConnectionError)" in search(f"red mug {number}").notes[0]
    assert "paused after several failures" in search("red mug 4").notes[0]
    assert len(mugs.calls) == 3
    mugs.fails = False
    end_pause(get_guard())
    assert search("red mug 5").ranked_by == "reranker"
    assert search("red mug 6").ranked_by == "reranker"


def test_a_late_result_is_cached_for_the_next_search(mugs: Mugs, use: Use) -> None:
    use(RERANK_TIMEOUT=0.2)
    mugs.gate.clear()
    until(lambda: search("red mug").ranked_by == "index" and mugs.calls)
    mugs.gate.set()
    until(lambda: search("red mug").ranked_by != "index")
    assert len(mugs.calls) == 1


@pytest.mark.django_db(transaction=True)
def test_a_hanging_model_does_not_occupy_search_slots(mugs: Mugs, use: Use) -> None:
    use(MAX_CONCURRENT_SEARCHES=1)
    with crowd(mugs, lambda: search("red mug")):
        assert search("blue shirt", rerank=False).hits
        assert not mugs.gate.is_set()  # the model still hangs


@pytest.mark.django_db(transaction=True)
def test_a_busy_shop_refuses_late_orders_but_no_search(mugs: Mugs, use: Use) -> None:
    use(RERANK_CONCURRENCY=1, RERANK_QUEUE=1)
    token = tickets.issue(search("blue shirt", rerank=False))
    with crowd(mugs, lambda: search("red mug"), lambda: search("red mug 2")):
        with pytest.raises(SearchUnavailable) as caught:
            tickets.rerank_late(token)
        assert search("blue shirt").notes == ("Ordered by the index: the reranker is busy.",)
    assert caught.value.retry_after > 0
    assert tickets.rerank_late(token).ranked_by == "reranker"


def test_unwanted_words_reach_the_reranker(mugs: Mugs) -> None:
    search("red mug", without="stripes")
    ((query, _),) = mugs.calls
    assert query.text == "red mug (without: stripes)"


def test_reasons_of_any_reranker_are_plain_and_short(mugs: Mugs) -> None:
    mugs.said["reason"] = "so\x00 good\u202e\n" + "very " * 500
    mugs.said["caption"] = "c" * 9999
    found = search("red mug")
    assert found.reason.startswith("so good very")
    assert len(found.reason) <= 280
    assert len(found.caption) <= 280


def test_contradictory_orders_lower_the_weight(mugs: Mugs, use: Use) -> None:
    plain = titles(search("red mug", rerank=False))
    mugs.said["agreement"] = 0.0
    found = search("red mug")
    assert (titles(found), found.ranked_by) == (plain, "index")
    assert found.notes == ("The reranker agrees with itself by 0.00: its weight is 0.00.",)


def test_grades_are_fused_with_cosines_if_the_setting_says_so(mugs: Mugs, use: Use) -> None:
    use(RERANK_FUSION="scores", RERANK_WEIGHT=0.5)
    plain = search("red mug", rerank=False)
    grades = (5.0, 0.0, 0.0, 10.0, 0.0, 0.0)
    mugs.said["grades"] = grades
    expected = fuse_scores([hit.score for hit in plain.hits], grades, weight=0.5)
    assert titles(search("red mug")) == [plain.hits[place].title for place in expected]
    assert expected != tuple(range(6))
    assert expected != tuple(reversed(range(6)))


def test_a_model_can_report_that_nothing_matches(mugs: Mugs) -> None:
    mugs.said["no_good_match"] = True
    assert search("red mug").no_good_match


def test_the_reason_is_at_its_hit(mugs: Mugs, use: Use) -> None:
    assert search("red mug").hits[0].reason == "It is <b>best</b>."
    use(RERANK_WEIGHT=0.2)
    found = search("red mug")
    assert found.reason == "It is <b>best</b>."
    assert [hit.reason for hit in found.hits].count(found.reason) == 1
    assert found.hits[0].reason == ""


def test_a_model_with_no_weight_does_not_affect_the_match(mugs: Mugs, use: Use) -> None:
    use(RERANK_WEIGHT=0.0)
    mugs.said["no_good_match"] = True
    found = search("red mug")
    assert (found.ranked_by, found.judged, found.no_good_match) == ("index", True, False)


def test_the_setting_for_fusion_is_validated(use: Use) -> None:
    from django.core.exceptions import ImproperlyConfigured

    with (
        override_settings(MMSEARCH={"RERANK_FUSION": "magic"}),
        pytest.raises(ImproperlyConfigured, match="'ranks' or 'scores'"),
    ):
        conf.get_settings()


class Quitting(Moody):
    """Raises SystemExit."""

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        sys.exit("no such model")


def test_a_model_that_calls_exit_ends_only_its_own_work(mugs: Mugs, use: Use) -> None:
    use(RERANKER={"BACKEND": f"{__name__}.Quitting"})
    found = search("red mug")
    assert (found.ranked_by, len(found.hits)) == ("index", 6)
    assert "the reranker failed" in found.notes[0]
    assert tickets.rerank_late(tickets.issue(search("red mug", rerank=False))).ranked_by == "index"
