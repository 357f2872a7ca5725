"""Fusing the reranker's order with that of the index."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["fuse"]

_DAMPING = 60


def fuse(order: Sequence[int], *, weight: float) -> tuple[int, ...]:
    """Weighted reciprocal rank fusion of `order` with the identity, the order of the index.

    `order` is a permutation of range(n), `weight` (0 to 1) the share of the reranker. Returns
    a permutation, best first; ties go to the index. With a weight below 1 a confused model
    cannot bury a strong match. Source: Cormack, Clarke and Buettcher, SIGIR 2009, k = 60.
    Raises ValueError when `order` is no permutation or the weight is out of range.
    """
    if sorted(order) != list(range(len(order))):
        msg = f"order must be a permutation of range({len(order)}), not {tuple(order)}"
        raise ValueError(msg)
    if not 0 <= weight <= 1:
        msg = f"weight must be from 0 to 1, not {weight}"
        raise ValueError(msg)
    place = {candidate: rank for rank, candidate in enumerate(order)}

    def score(candidate: int) -> float:
        by_model = weight / (_DAMPING + place[candidate])
        return by_model + (1 - weight) / (_DAMPING + candidate)

    return tuple(sorted(range(len(order)), key=lambda candidate: (-score(candidate), candidate)))
