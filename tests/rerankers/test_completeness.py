"""Every candidate is ranked, whatever a model with random weights replies."""

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
EXACT, HALF = "float32", "bfloat16"
ASKED = [
    *product(["idefics3"], MODES, COUNTS, [GREEDY, SAMPLED], [EXACT]),
    *product(["phi3-vision", "gemma3"], MODES, COUNTS, [GREEDY], [EXACT]),
    *product(["phi3-vision", "gemma3"], MODES[:2], [9, 12], [SAMPLED], [EXACT]),
    *product(["llava"], MODES, [9], [GREEDY, SAMPLED], [EXACT]),
    *product(["idefics3", "phi3-vision", "gemma3", "llava"], MODES, [9], [GREEDY], [HALF]),
]
"""Family, mode, number of candidates, temperature, dtype: the default is bfloat16."""


@pytest.mark.parametrize(("family", "mode", "count", "temperature", "dtype"), ASKED)
def test_every_candidate_comes_back_without_a_repair(
    load: Callable[..., Any], family: str, mode: str, count: int, temperature: float, dtype: str
) -> None:
    model = load(family, temperature=temperature, dtype=dtype)
    reranker = VisionReranker(model=model, mode=mode, reason=False, caption=False)
    query = list(QUERIES.values())[(count + len(mode) + int(temperature)) % len(QUERIES)]

    ranking = reranker.rerank(query, products(count))

    assert sorted(ranking.order) == list(range(count))
    assert ranking.repairs == 0
    assert (ranking.grades is not None) == (mode in ("grades", "pairs"))


@pytest.mark.torchvision
@pytest.mark.parametrize("dtype", [EXACT, HALF])
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("mode", [*MODES, "trained-pairs"])
def test_qwen3_vl_loses_no_candidate(
    load: Callable[..., Any], mode: str, count: int, dtype: str
) -> None:
    model = load("qwen3-vl", dtype=dtype, max_images=2)

    ranking = VisionReranker(model=model, mode=mode).rerank(QUERIES["both"], products(count))

    assert sorted(ranking.order) == list(range(count))
    assert ranking.repairs == 0


@pytest.mark.parametrize("family", ["idefics3", "phi3-vision", "gemma3", "llava"])
def test_bfloat16_is_what_the_network_computes_in(load: Callable[..., Any], family: str) -> None:
    import torch

    model = load(family, dtype=HALF)
    model.warm_up()

    assert {weight.dtype for weight in model._model.network.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("mode", ["grades", "letters"])
def test_every_kind_of_query_is_answered(load: Callable[..., Any], mode: str, name: str) -> None:
    reranker = VisionReranker(model=load("idefics3"), mode=mode, caption=True)

    ranking = reranker.rerank(QUERIES[name], products(5))

    assert sorted(ranking.order) == list(range(5))
    assert ranking.repairs == 0
    assert bool(ranking.caption) == (QUERIES[name].image is not None)


def test_candidates_without_any_image_are_ranked_by_their_titles(load: Callable[..., Any]) -> None:
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
