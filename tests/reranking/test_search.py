"""Searches with a reranker: in time, and never without an answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from django.test import override_settings

from mmsearch_app import conf, search, tickets
from mmsearch_app.embedders.base import Content
from mmsearch_app.query import SearchUnavailable
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.rerankers.fusion import fuse_scores
from tests.reranking.conftest import Mugs, Use
from tests.reranking.guarding import end_pause
from tests.reranking.parts import Moody, crowd, titles
from tests.waiting import until

pytestmark = pytest.mark.django_db


def test_a_model_that_hangs_costs_the_deadline_and_the_answer_says_so(mugs: Mugs, use: Use) -> None:
    use(RERANK_TIMEOUT=0.3)
    plain = titles(search("red mug", rerank=False))
    mugs.gate.clear()
    found = search("red mug")
    assert not mugs.gate.is_set()  # the model still hangs
    assert titles(found) == plain
    assert found.ranked_by == "index"
    assert found.notes == ("Ordered by the index: the reranker took longer than 0.3 seconds.",)


def test_after_three_failures_it_is_left_alone_and_after_a_pause_asked_again(
    mugs: Mugs, use: Use
) -> None:
    use(RERANK_PAUSE=600.0)
    mugs.fails = True
    for number in range(3):
        assert "failed (ConnectionError)" in search(f"red mug {number}").notes[0]
    assert "left alone" in search("red mug 4").notes[0]
    assert len(mugs.calls) == 3
    mugs.fails = False
    end_pause(conf.get_guard())
    assert search("red mug 5").ranked_by == "reranker"
    assert search("red mug 6").ranked_by == "reranker"


def test_what_a_model_says_too_late_is_kept_for_the_next_one(mugs: Mugs, use: Use) -> None:
    use(RERANK_TIMEOUT=0.2)
    mugs.gate.clear()
    until(lambda: search("red mug").ranked_by == "index" and mugs.calls)
    mugs.gate.set()
    until(lambda: search("red mug").ranked_by != "index")
    assert len(mugs.calls) == 1


@pytest.mark.django_db(transaction=True)
def test_a_hanging_model_does_not_take_the_places_of_searches(mugs: Mugs, use: Use) -> None:
    use(MAX_CONCURRENT_SEARCHES=1)
    with crowd(mugs, lambda: search("red mug")):
        assert search("blue shirt", rerank=False).hits
        assert not mugs.gate.is_set()  # the model still hangs


@pytest.mark.django_db(transaction=True)
def test_a_crowd_turns_late_orders_away_but_no_search(mugs: Mugs, use: Use) -> None:
    use(RERANK_CONCURRENCY=1, RERANK_QUEUE=1)
    token = tickets.issue(search("blue shirt", rerank=False))
    with crowd(mugs, lambda: search("red mug"), lambda: search("red mug 2")):
        with pytest.raises(SearchUnavailable) as caught:
            tickets.rerank(token)
        assert search("blue shirt").notes == ("Ordered by the index: the reranker is busy.",)
    assert caught.value.retry_after > 0
    assert tickets.rerank(token).ranked_by == "reranker"


def test_unwanted_words_are_told(mugs: Mugs) -> None:
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


def test_orders_that_contradict_each_other_lower_the_weight(mugs: Mugs, use: Use) -> None:
    plain = titles(search("red mug", rerank=False))
    mugs.said["agreement"] = 0.0
    found = search("red mug")
    assert (titles(found), found.ranked_by) == (plain, "index")
    assert found.notes == ("The reranker agrees with itself by 0.00: its weight is 0.00.",)


def test_grades_are_fused_with_the_cosines_where_the_setting_says_so(mugs: Mugs, use: Use) -> None:
    use(RERANK_FUSION="scores", RERANK_WEIGHT=0.5)
    plain = search("red mug", rerank=False)
    grades = (5.0, 0.0, 0.0, 10.0, 0.0, 0.0)
    mugs.said["grades"] = grades
    expected = fuse_scores([hit.score for hit in plain.hits], grades, weight=0.5)
    assert titles(search("red mug")) == [plain.hits[place].title for place in expected]
    assert expected != tuple(range(6))
    assert expected != tuple(reversed(range(6)))


def test_a_model_that_finds_nothing_good_is_heard(mugs: Mugs) -> None:
    mugs.said["no_good_match"] = True
    assert search("red mug").no_good_match


def test_the_reason_stands_at_the_hit_that_it_is_about(mugs: Mugs, use: Use) -> None:
    assert search("red mug").hits[0].reason == "It is <b>best</b>."
    use(RERANK_WEIGHT=0.2)
    found = search("red mug")
    assert found.reason == "It is <b>best</b>."
    assert [hit.reason for hit in found.hits].count(found.reason) == 1
    assert found.hits[0].reason == ""


def test_a_model_without_weight_says_nothing_about_the_match(mugs: Mugs, use: Use) -> None:
    use(RERANK_WEIGHT=0.0)
    mugs.said["no_good_match"] = True
    found = search("red mug")
    assert (found.ranked_by, found.judged, found.no_good_match) == ("index", True, False)


def test_the_setting_of_what_is_fused_is_checked(use: Use) -> None:
    from django.core.exceptions import ImproperlyConfigured

    with (
        override_settings(MMSEARCH={"RERANK_FUSION": "magic"}),
        pytest.raises(ImproperlyConfigured, match="'ranks' or 'scores'"),
    ):
        conf.get_settings()


class Quitting(Moody):
    """It ends the process, or so it thinks."""

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        sys.exit("no such model")


def test_a_model_that_ends_the_process_ends_only_its_own_work(mugs: Mugs, use: Use) -> None:
    use(RERANKER={"BACKEND": f"{__name__}.Quitting"})
    found = search("red mug")
    assert (found.ranked_by, len(found.hits)) == ("index", 6)
    assert "the reranker failed" in found.notes[0]
    assert tickets.rerank(tickets.issue(search("red mug", rerank=False))).ranked_by == "index"
