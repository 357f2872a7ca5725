"""Fusing the reranker's order with that of the index."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import inf, sqrt
from statistics import fmean, pstdev

from mmsearch_app.inference import require_share

_DAMPING = 2
"""The usual 60 is for lists of a thousand. With nine candidates it amounts to a sum of ranks, in
which five of seven may pass the index's best; on the oracle of the tests it gains no more."""


def fuse(order: Sequence[int], *, weight: float) -> tuple[int, ...]:
    """Weighted reciprocal rank fusion of `order` with the identity, the order of the index.

    `order` is a permutation of range(n), `weight` (0 to 1) the share of the reranker. Returns
    a permutation, best first; ties go to the index. With a weight of at most one half a confused
    model cannot bury a strong match: the index's best stays among the first four.
    Source: Cormack, Clarke and Buettcher, SIGIR 2009, with a damping for short lists.
    Raises ValueError if `order` is not a permutation or the weight is out of range.
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
    """Order by the weighted sum of standardised `grades` and `scores` of the index.

    Both have one finite value per candidate, more is better; `weight` (0 to 1) is the share of
    the grades. A clear winner counts for more than by its rank, equal grades for nothing.
    Returns a permutation, best first; ties go to the index. Raises ValueError if the lengths
    differ or the weight is out of range.
    """
    require_share(weight=weight)
    pairs = zip(_standardise(scores), _standardise(grades), strict=True)
    fused = [(1 - weight) * score + weight * grade for score, grade in pairs]
    return tuple(sorted(range(len(fused)), key=lambda candidate: (-fused[candidate], candidate)))


def order_by(grades: Sequence[float | None]) -> tuple[int, ...]:
    """Return places, best grade first, those without one last; ties keep the index's order."""
    return tuple(sorted(range(len(grades)), key=lambda place: (-_worth(grades[place]), place)))


def measure_agreement(rounds: Sequence[Sequence[float | None]]) -> float:
    """Return the mean Kendall's tau-b of all pairs of rounds: 1 if equal, about 0 if unrelated.

    A round has one value per candidate, more is better, None is worst; equal values do not order
    their candidates. One round, or rounds in which all values are equal, give 1.
    """
    taus = [_tau(one, other) for one, other in combinations(rounds, 2)]
    return fmean(taus) if taus else 1.0


def trust(weight: float, agreement: float | None) -> float:
    """Return the weight scaled by how far a reranker agrees with itself: 0 if it only guesses."""
    return weight if agreement is None else weight * min(max(agreement, 0.0), 1.0)


def _tau(one: Sequence[float | None], other: Sequence[float | None]) -> float:
    """Kendall, Biometrika 33, 1945; 0 if all values of only one round are equal."""
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
