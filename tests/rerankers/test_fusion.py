"""Fusion is never much worse than the index alone, whatever the reranker says."""

from __future__ import annotations

from itertools import permutations

import pytest

from mmsearch_app.rerankers.fusion import fuse, fuse_scores, measure_agreement, trust
from tests.rerankers.oracle import Oracle, compare, questions

ASKED = questions(200, noise=0.2)
HALF = 0.5
GUESSES_COST = 0.02
"""The largest loss of nDCG at half a weight with random grades."""
BIAS_COSTS = 0.04
"""The same with random grades and a strong bias to the last candidates."""
SPITE_COSTS = 0.11
"""The same with reversed grades."""


@pytest.mark.parametrize("by_scores", [False, True], ids=["ranks", "scores"])
@pytest.mark.parametrize("lies", [0.0, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("bias", [0.0, 5.0])
def test_a_lying_reranker_costs_no_more_than_the_bound(
    *, lies: float, bias: float, by_scores: bool
) -> None:
    oracle = Oracle(lies=lies, bias=bias)

    index, _, fused = compare(oracle, ASKED, weight=HALF, by_scores=by_scores)

    assert fused >= index - GUESSES_COST


@pytest.mark.parametrize("by_scores", [False, True], ids=["ranks", "scores"])
def test_a_bias_against_the_index_costs_no_more_than_the_bound(*, by_scores: bool) -> None:
    index, alone, fused = compare(
        Oracle(lies=1.0, bias=-10), ASKED, weight=HALF, by_scores=by_scores
    )

    assert index - BIAS_COSTS <= fused
    assert alone < index - BIAS_COSTS


@pytest.mark.parametrize("by_scores", [False, True], ids=["ranks", "scores"])
def test_reversed_grades_cost_no_more_than_the_bound(*, by_scores: bool) -> None:
    index, alone, fused = compare(Oracle(spite=True), ASKED, weight=HALF, by_scores=by_scores)

    assert index - SPITE_COSTS <= fused
    assert alone < index - SPITE_COSTS


@pytest.mark.parametrize("by_scores", [False, True], ids=["ranks", "scores"])
@pytest.mark.parametrize("lies", [0.0, 0.25])
def test_a_mostly_honest_reranker_gains(*, lies: float, by_scores: bool) -> None:
    index, _, fused = compare(Oracle(lies=lies), ASKED, weight=HALF, by_scores=by_scores)

    assert fused > index + 0.01


def test_half_a_weight_keeps_the_best_of_the_index_among_the_first_four() -> None:
    for order in permutations(range(7)):
        assert fuse(order, weight=HALF).index(0) < 4
    for last in range(2, 26):
        for head in permutations(range(1, min(last, 6))):
            order = (*head, *range(1 + len(head), last), 0)
            assert fuse(order, weight=HALF).index(0) < 4


def test_a_candidate_first_in_both_orders_stays_first() -> None:
    for order in permutations(range(1, 6)):
        assert fuse((0, *order), weight=0.7)[0] == 0


def test_scores_are_standardised_before_they_are_added() -> None:
    """The index strongly prefers its first hit, the grades slightly prefer the second."""
    assert fuse_scores([0.9, 0.2, 0.1], [5.0, 5.1, 5.0], weight=0.2)[0] == 0
    assert fuse_scores([0.31, 0.3, 0.1], [1.0, 9.0, 0.0], weight=0.5)[0] == 1


def test_equal_grades_leave_the_order_of_the_index() -> None:
    assert fuse_scores([0.9, 0.5, 0.1], [5, 5, 5], weight=1.0) == (0, 1, 2)
    assert fuse_scores([], [], weight=0.5) == ()


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight must be from 0 to 1"):
        fuse_scores([1.0], [1.0], weight=weight)


@pytest.mark.parametrize(
    ("rounds", "agreement"),
    [
        ([(9, 8, 7), (3, 2, 1)], 1.0),
        ([(9, 8, 7), (7, 8, 9)], -1.0),
        ([(9, 8, 7), (9, 7, 8)], 1 / 3),
        ([(9, 8, 7)], 1.0),
        ([(9,), (0,)], 1.0),
        ([(5, 5, 0, 0), (9, 9, 1, 1)], 1.0),
        ([(5, 5, 5), (5, 5, 5)], 1.0),
        ([(5, 5, 5), (1, 2, 3)], 0.0),
        ([(9, 0, 0, 0), (0, 9, 0, 0)], -1 / 3),
        ([(12, 2, 1, 12, 2), (1, 4, 7, 1, 0)], -4 / (8 * 9) ** 0.5),
        ([(9, None, 0), (8, None, 1)], 1.0),
    ],
)
def test_agreement_is_kendalls_tau_b(
    rounds: list[tuple[float | None, ...]], agreement: float
) -> None:
    assert measure_agreement(rounds) == pytest.approx(agreement)


@pytest.mark.parametrize(("agreement", "weight"), [(None, 0.6), (1.0, 0.6), (0.5, 0.3), (-1, 0)])
def test_the_weight_of_a_reranker_depends_on_its_agreement_with_itself(
    agreement: float | None, weight: float
) -> None:
    assert trust(0.6, agreement) == pytest.approx(weight)
