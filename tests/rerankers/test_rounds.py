"""Grades of several windows and rounds: ties, missing grades and agreement."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.vlm import Prompt
from tests.rerankers.kit import QUERIES, product
from tests.rerankers.scripted import Scripted
from tests.rerankers.test_llvm import grade_by, number_of, titled, titles_in


def grade_all(worth: Sequence[int | None]) -> Callable[[Prompt], str]:
    """A model that grades by the number in a title, at any position."""

    def reply(prompt: Prompt) -> str:
        shown = [worth[number_of(title)] for title in titles_in(prompt)]
        return json.dumps({"ABCDEFGHIJ"[p]: g for p, g in enumerate(shown) if g is not None})

    return reply


def test_equal_grades_of_several_windows_leave_the_order_of_the_index() -> None:
    model = Scripted(grade_by(lambda number, _: 5))

    ranking = VisionReranker(model=model, window=6).rerank(QUERIES["both"], titled(12))

    assert len(model.asked) == 2
    assert ranking.order == tuple(range(12))


def test_candidates_without_a_grade_come_after_those_with_the_worst() -> None:
    model = Scripted(grade_all([None, 0, 3, 0, None, 7]))

    ranking = VisionReranker(model=model, window=3).rerank(QUERIES["both"], titled(6))

    assert ranking.order == (5, 2, 1, 3, 0, 4)
    assert ranking.grades == (0, 0, 3, 0, 0, 7)


def test_a_candidate_with_neither_yes_nor_no_comes_last() -> None:
    def want(prompt: Prompt, word: str) -> float:
        if "bag 0" in str(prompt.parts[-1]):
            return float("-inf")
        return 1.0 if word.lower() == "no" else 0.0

    reranker = VisionReranker(model=Scripted(scorer=want), mode="pairs", reason=False, good=6)

    ranking = reranker.rerank(QUERIES["both"], titled(3))

    assert ranking.order == (1, 2, 0)
    assert ranking.repairs == 1
    assert ranking.no_good_match


@pytest.mark.parametrize("worth", [[10] * 5 + [0] * 4, [5] * 9, [9, 1, 5, 5, 0, 0, 3, 8, 8]])
def test_the_same_grades_in_each_round_are_full_agreement(worth: list[int]) -> None:
    reranker = VisionReranker(model=Scripted(grade_all(worth)), rounds=4)

    assert reranker.rerank(QUERIES["both"], titled(9)).agreement == pytest.approx(1.0)


def test_grades_that_follow_the_position_alone_are_no_agreement() -> None:
    model = Scripted(grade_by(lambda _, place: 10 if place == 0 else 0))

    ranking = VisionReranker(model=model, rounds=4).rerank(QUERIES["both"], titled(9))

    assert ranking.agreement is not None
    assert ranking.agreement < 0.4


def test_ties_in_all_rounds_keep_the_order_of_the_index() -> None:
    reranker = VisionReranker(model=Scripted(grade_all([5, 5, 9, 5, 5])), rounds=3)

    assert reranker.rerank(QUERIES["both"], titled(5)).order == (2, 0, 1, 3, 4)


@pytest.mark.parametrize("reply", ["I cannot help with that.", "", '{"A": 1}', '{"Z": 0}'])
def test_a_reply_without_grades_does_not_mean_that_nothing_fits(reply: str) -> None:
    ranking = VisionReranker(model=Scripted(reply), good=4).rerank(QUERIES["both"], titled(4))

    assert not ranking.no_good_match
    assert ranking.order == (0, 1, 2, 3)


def test_no_grades_at_all_are_none_and_not_the_worst() -> None:
    assert VisionReranker(model=Scripted("no")).rerank(QUERIES["both"], titled(3)).grades is None


def test_half_of_the_grades_are_enough_to_say_that_nothing_fits() -> None:
    model = Scripted('{"A": 1, "B": 2}')

    assert VisionReranker(model=model, good=4).rerank(QUERIES["both"], titled(4)).no_good_match


def test_the_cells_for_gemma_are_as_large_as_possible() -> None:
    model = Scripted("{}")

    reranker = VisionReranker(preset="gemma3", model=model)
    reranker.rerank(QUERIES["both"], [product(number) for number in range(8)])

    assert reranker.window == 8
    assert [picture.size for prompt in model.asked for picture in prompt.pictures] == [(894, 894)]
    assert VisionReranker(preset="gemma3", model=model, window=12).window == 12
