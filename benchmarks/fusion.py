"""What a bad reranker can cost, fused with the order of the index at a weight of one half.

The questions are about the example catalogue, the index judges them fairly but noisily, and the
reranker is an oracle that knows the truth and departs from it as each row says.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from mmsearch_app.rerankers.fusion import fuse
from tests.rerankers.oracle import Oracle, compare, questions

WEIGHT = 0.5
QUESTIONS = 200
ORACLES: dict[str, dict[str, Any]] = {
    "honest": {},
    "a quarter of the grades are random": {"lies": 0.25},
    "half of the grades are random": {"lies": 0.5},
    "all grades are random": {"lies": 1.0},
    "all random, favouring those shown first": {"lies": 1.0, "bias": 5},
    "all random, favouring those shown last": {"lies": 1.0, "bias": -10},
    "reversed grades": {"spite": True},
}
MOST = 8
"""The largest number of candidates of which every order is tried."""


def render() -> str:
    """nDCG of the index, the reranker and both; then the worst place of the index's best hit."""
    asked = questions(QUESTIONS, noise=0.2)
    lines = ["| reranker | index alone | reranker alone | fused by ranks | fused by scores |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for title, options in ORACLES.items():
        index, alone, ranks = compare(Oracle(**options), asked, weight=WEIGHT)
        scores = compare(Oracle(**options), asked, weight=WEIGHT, by_scores=True)[2]
        figures = " | ".join(f"{figure:.3f}" for figure in (index, alone, ranks, scores))
        lines.append(f"| {title} | {figures} |")
    lines += ["", "| candidates | orders tried | worst place of the index's best |"]
    lines.append("| ---: | ---: | ---: |")
    for count in range(2, MOST + 1):
        places = [fuse(order, weight=WEIGHT).index(0) + 1 for order in permutations(range(count))]
        lines.append(f"| {count} | {len(places):,} | {max(places)} |")
    return "\n".join(lines)
