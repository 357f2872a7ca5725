"""Measures of one ranked result. `found` lists product keys, best first; `relevant` has grades."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def recall_at(found: Sequence[str], relevant: Mapping[str, float], *, k: int) -> float:
    """Return how many of the first k are relevant, divided by how many of them could be."""
    hits = sum(key in relevant for key in found[:k])
    return hits / min(k, len(relevant))


def average_precision(found: Sequence[str], relevant: Mapping[str, float], *, k: int) -> float:
    """Return the average precision at k, as in CIRCO's mAP@k (Baldrati et al., ICCV 2023)."""
    hits, total = 0, 0.0
    for place, key in enumerate(found[:k], 1):
        if key in relevant:
            hits += 1
            total += hits / place
    return total / min(k, len(relevant))


def ndcg(found: Sequence[str], relevant: Mapping[str, float], *, k: int) -> float:
    """Return the normalised discounted cumulative gain at k (Järvelin and Kekäläinen, 2002)."""

    def gain(grades: Sequence[float]) -> float:
        return sum(grade / math.log2(place + 2) for place, grade in enumerate(grades[:k]))

    ideal = gain(sorted(relevant.values(), reverse=True))
    return gain([relevant.get(key, 0.0) for key in found]) / ideal
