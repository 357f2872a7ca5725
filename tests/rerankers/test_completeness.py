"""Whatever a model with random weights wants to say, every candidate comes back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from mmsearch_app.rerankers.llvm import VisionReranker
from tests.rerankers.kit import QUERIES, products

MODES = ("grades", "listwise", "pairs", "letters")
COUNTS = (2, 5, 9, 12, 20)
GREEDY, SAMPLED = 0.0, 1.5
ASKED = [
    *product(["idefics3"], MODES, COUNTS, [GREEDY, SAMPLED]),
    *product(["phi3-vision"], MODES, COUNTS, [GREEDY]),
    *product(["phi3-vision"], MODES[:2], [9, 12], [SAMPLED]),
    *product(["llava"], MODES, [9], [GREEDY, SAMPLED]),
]
"""Family, mode, number of candidates, temperature."""


@pytest.mark.parametrize(("family", "mode", "count", "temperature"), ASKED)
def test_every_candidate_comes_back_without_a_repair(
    load: Callable[..., Any], family: str, mode: str, count: int, temperature: float
) -> None:
    model = load(family, temperature=temperature)
    reranker = VisionReranker(model=model, mode=mode, reason=False, caption=False)
    query = list(QUERIES.values())[(count + len(mode) + int(temperature)) % len(QUERIES)]

    ranking = reranker.rerank(query, products(count))

    assert sorted(ranking.order) == list(range(count))
    assert ranking.repairs == 0
    assert (ranking.grades is not None) == (mode in ("grades", "pairs"))


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("mode", ["grades", "letters"])
def test_every_kind_of_question_is_answered(load: Callable[..., Any], mode: str, name: str) -> None:
    reranker = VisionReranker(model=load("idefics3"), mode=mode, caption=True)

    ranking = reranker.rerank(QUERIES[name], products(5))

    assert sorted(ranking.order) == list(range(5))
    assert ranking.repairs == 0
    assert bool(ranking.caption) == (QUERIES[name].image is not None)


def test_candidates_without_any_picture_are_ranked_by_their_titles(
    load: Callable[..., Any],
) -> None:
    reranker = VisionReranker(model=load("idefics3"))
    candidates = [type(item)(text=item.text) for item in products(4)]

    ranking = reranker.rerank(QUERIES["words"], candidates)

    assert sorted(ranking.order) == list(range(4))


@pytest.mark.parametrize("mode", MODES)
def test_greedy_answers_are_the_same_each_time(load: Callable[..., Any], mode: str) -> None:
    reranker = VisionReranker(model=load("idefics3"), mode=mode)

    first = reranker.rerank(QUERIES["both"], products(5))

    assert reranker.rerank(QUERIES["both"], products(5)) == first


def test_a_batch_of_pairs_is_scored_as_each_alone(load: Callable[..., Any]) -> None:
    together = VisionReranker(model=load("idefics3", batch_size=4), mode="pairs", reason=False)
    alone = VisionReranker(model=load("idefics3", batch_size=1), mode="pairs", reason=False)

    first = together.rerank(QUERIES["both"], products(7)).grades
    second = alone.rerank(QUERIES["both"], products(7)).grades

    assert first == pytest.approx(second, abs=1e-3)
