"""`VisionReranker`: modes, windows and rounds."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mmsearch_app.inference.content import Content, ModelFailed
from mmsearch_app.rerankers.base import Reranker
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.vlm import Prompt
from tests.rerankers.kit import QUERIES, product, products
from tests.rerankers.scripted import Scripted


def titles_in(prompt: Prompt) -> list[str]:
    """The candidates' titles in the prompt, in the order shown."""
    line = next(
        line
        for part in prompt.parts
        if isinstance(part, str)
        for line in part.splitlines()
        if line.startswith("Titles")
    )
    return [json.loads(named.split(": ", 1)[1]) for named in line[26:-1].split("; ")]


def number_of(title: str) -> int:
    return int(title.rsplit(" ", 1)[1])


def grade_by(worth: Callable[[int, int], int]) -> Callable[[Prompt], str]:
    """A model that grades by the number in a title and the position at which it is shown."""

    def reply(prompt: Prompt) -> str:
        titles = titles_in(prompt)
        grades = {"ABCDEFGHIJ"[p]: worth(number_of(t), p) for p, t in enumerate(titles)}
        return json.dumps(grades | {"reason": f"best is {max(grades.values())}"})

    return reply


def rank_by(worth: Callable[[int], int]) -> Callable[[Prompt], str]:
    def reply(prompt: Prompt) -> str:
        titles = titles_in(prompt)
        order = sorted(range(len(titles)), key=lambda p: -worth(number_of(titles[p])))
        return json.dumps({"ranking": ["ABCDEFGHIJ"[p] for p in order], "reason": "it is"})

    return reply


def titled(count: int) -> list[Content]:
    return [product(number) for number in range(count)]


def test_it_fulfils_the_reranker_protocol() -> None:
    assert isinstance(VisionReranker(model=Scripted()), Reranker)


def test_grades_decide_the_order_and_come_back_by_candidate() -> None:
    model = Scripted('{"A": 2, "B": 9, "C": 5, "reason": "B is red."}')

    ranking = VisionReranker(model=model).rerank(QUERIES["both"], titled(3))

    assert ranking.order == (1, 2, 0)
    assert ranking.grades == (2, 9, 5)
    assert ranking.reason == "B is red."
    assert ranking.repairs == 0


def test_a_bare_reply_is_repaired_and_the_repairs_counted() -> None:
    ranking = VisionReranker(model=Scripted("no")).rerank(QUERIES["both"], titled(4))

    assert ranking.order == (0, 1, 2, 3)
    assert ranking.repairs == 4


def test_windows_of_grades_are_compared_with_each_other() -> None:
    model = Scripted(grade_by(lambda number, _: (number * 7) % 11))

    ranking = VisionReranker(model=model, window=6).rerank(QUERIES["both"], titled(17))

    worth = [(number * 7) % 11 for number in range(17)]
    assert [worth[p] for p in ranking.order] == sorted(worth, reverse=True)
    assert len(model.asked) == 3
    assert ranking.reason == "best is 10"


def test_a_sliding_window_brings_the_best_from_the_end_to_the_top() -> None:
    model = Scripted(rank_by(lambda number: 10 if number == 19 else -number))

    reranker = VisionReranker(model=model, mode="listwise", window=6, caption=False)
    ranking = reranker.rerank(QUERIES["both"], titled(20))

    assert ranking.order[:4] == (19, 0, 1, 2)
    assert sorted(ranking.order) == list(range(20))


def test_letters_follow_the_logits_and_unknown_ones_come_last() -> None:
    logits = {"A": 1.0, "B": float("-inf"), "C": 3.0, "D": 2.0}
    model = Scripted("Because.", scorer=lambda prompt, word: logits[word])

    ranking = VisionReranker(model=model, mode="letters").rerank(QUERIES["both"], titled(4))

    assert ranking.order == (2, 3, 0, 1)
    assert ranking.repairs == 1
    assert ranking.reason == "Because."


def test_letters_generate_nothing_unless_a_reason_is_asked_for() -> None:
    model = Scripted(scorer=lambda prompt, word: float(ord(word)))

    VisionReranker(model=model, mode="letters", reason=False).rerank(QUERIES["both"], titled(4))

    assert len(model.asked) == 1
    assert model.forms == []


def test_pairs_grade_each_candidate_by_the_logits_of_yes_and_no() -> None:
    def score(prompt: Prompt, word: str) -> float:
        said = prompt.parts[-1]
        return 2.0 if (word.lower() == "yes") == ("bag 1" in str(said)) else 0.0

    model = Scripted("Because.", scorer=score)
    reranker = VisionReranker(model=model, mode="pairs", reason=False)

    ranking = reranker.rerank(QUERIES["both"], titled(3))

    assert ranking.order == (1, 0, 2)
    assert len(model.asked) == 3
    assert ranking.grades == pytest.approx((1.192, 8.808, 1.192), abs=1e-3)


def test_a_mode_that_reads_logits_refuses_a_model_without() -> None:
    reranker = VisionReranker(model=Scripted(), mode="letters")

    with pytest.raises(ModelFailed, match="take mode 'grades'"):
        reranker.rerank(QUERIES["both"], titled(2))


@pytest.mark.parametrize(("max_images", "pictures"), [(1, 1), (3, 1), (4, 4)])
def test_candidates_are_separate_images_if_the_model_accepts_enough_images(
    max_images: int, pictures: int
) -> None:
    model = Scripted("{}", max_images=max_images)

    VisionReranker(model=model).rerank(QUERIES["both"], titled(3))

    assert len(model.asked[0].pictures) == pictures


def test_no_image_is_larger_than_the_model_accepts() -> None:
    model = Scripted("{}", max_pixels=300_000)

    VisionReranker(model=model).rerank(QUERIES["both"], titled(9))

    width, height = model.asked[0].pictures[0].size
    assert width * height <= 300_000


def test_a_model_that_judges_products_agrees_with_itself() -> None:
    model = Scripted(grade_by(lambda number, _: number))

    ranking = VisionReranker(model=model, rounds=3).rerank(QUERIES["both"], titled(6))

    assert ranking.agreement == 1.0
    assert ranking.order == (5, 4, 3, 2, 1, 0)
    assert ranking.grades == (0, 1, 2, 3, 4, 5)


def test_a_model_that_judges_positions_does_not_agree_with_itself() -> None:
    model = Scripted(grade_by(lambda _, place: 9 - place))

    ranking = VisionReranker(model=model, rounds=4).rerank(QUERIES["both"], titled(8))

    assert ranking.agreement is not None
    assert ranking.agreement < 0.4


@pytest.mark.parametrize(("best", "none_good"), [(3, True), (4, False)])
def test_grades_below_the_threshold_mean_no_good_match(best: int, *, none_good: bool) -> None:
    model = Scripted(f'{{"A": 1, "B": {best}, "reason": ""}}')

    ranking = VisionReranker(model=model, good=4).rerank(QUERIES["both"], titled(2))

    assert ranking.no_good_match is none_good


def test_one_candidate_or_none_is_handled() -> None:
    model = Scripted('{"A": 3, "reason": ""}')

    assert VisionReranker(model=model).rerank(QUERIES["both"], []).order == ()
    assert VisionReranker(model=model).rerank(QUERIES["both"], products(1)).grades == (3,)
