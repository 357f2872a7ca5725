"""Fusing the reranker's order with that of the index."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import inf, sqrt
from statistics import fmean, pstdev

from mmsearch_app.inference import require_share

__all__ = ["fuse", "fuse_scores", "measure_agreement", "order_by", "trust"]

_DAMPING = 2
"""60 is for lists of a thousand: of nine it makes a sum of ranks, in which five of seven may
pass the best of the index. On the oracle of the tests both gain the same."""


def fuse(order: Sequence[int], *, weight: float) -> tuple[int, ...]:
    """Weighted reciprocal rank fusion of `order` with the identity, the order of the index.

    `order` is a permutation of range(n), `weight` (0 to 1) the share of the reranker. Returns
    a permutation, best first; ties go to the index. With a weight of at most one half a confused
    model cannot bury a strong match: the best of the index stays among the first four.
    Source: Cormack, Clarke and Buettcher, SIGIR 2009, with a damping for short lists.
    Raises ValueError when `order` is no permutation or the weight is out of range.
    """
    if sorted(order) != list(range(len(order))):
        msg = f"order must be a permutation of range({len(order)}), not {tuple(order)}"
        raise ValueError(msg)
    require_share(weight=weight)
    place = {candidate: rank for rank, candidate in enumerate(order)}

    def score(candidate: int) -> float:
        by_model = weight / (_DAMPING + place[candidate])
        return by_model + (1 - weight) / (_DAMPING + candidate)

    return tuple(sorted(range(len(order)), key=lambda candidate: (-score(candidate), candidate)))


def fuse_scores(
    scores: Sequence[float], grades: Sequence[float], *, weight: float
) -> tuple[int, ...]:
    """The order of the weighted sum of standardised `grades` and `scores` of the index.

    Both have one finite value a candidate, more is better; `weight` (0 to 1) is the share of
    the grades. A clear winner counts for more than by its rank, and equal grades for nothing.
    Returns a permutation, best first; ties go to the index. Raises ValueError when the
    lengths differ or the weight is out of range.
    """
    require_share(weight=weight)
    pairs = zip(_standardise(scores), _standardise(grades), strict=True)
    fused = [(1 - weight) * score + weight * grade for score, grade in pairs]
    return tuple(sorted(range(len(fused)), key=lambda candidate: (-fused[candidate], candidate)))


def order_by(grades: Sequence[float | None]) -> tuple[int, ...]:
    """Places, the best grade first; ties stand as in the index, what has no grade behind."""
    return tuple(sorted(range(len(grades)), key=lambda place: (-_worth(grades[place]), place)))


def measure_agreement(rounds: Sequence[Sequence[float | None]]) -> float:
    """Kendall's tau-b, the mean over all pairs of rounds: 1 for equal, about 0 for unrelated.

    A round has a value for each candidate, more is better (None is worst); candidates with the
    same are not ordered by it. One round, or rounds without any difference, agree: 1.
    """
    taus = [_tau(one, other) for one, other in combinations(rounds, 2)]
    return fmean(taus) if taus else 1.0


def trust(weight: float, agreement: float | None) -> float:
    """The weight of a reranker that agrees so far with itself: none if it only guesses."""
    return weight if agreement is None else weight * min(max(agreement, 0.0), 1.0)


def _tau(one: Sequence[float | None], other: Sequence[float | None]) -> float:
    """Source: Kendall, Biometrika 33, 1945. Where only one of the two has any difference, 0."""
    signs = [
        (_compare(one[a], one[b]), _compare(other[a], other[b]))
        for a, b in combinations(range(len(one)), 2)
    ]
    apart = [sum(pair[side] != 0 for pair in signs) for side in (0, 1)]
    if not any(apart):
        return 1.0
    return sum(a * b for a, b in signs) / sqrt(apart[0] * apart[1]) if all(apart) else 0.0


def _compare(one: float | None, other: float | None) -> int:
    a, b = _worth(one), _worth(other)
    return (a > b) - (a < b)


def _worth(grade: float | None) -> float:
    return -inf if grade is None else grade


def _standardise(values: Sequence[float]) -> list[float]:
    spread = pstdev(values) if values else 0.0
    mean = fmean(values) if values else 0.0
    return [(value - mean) / spread if spread else 0.0 for value in values]
