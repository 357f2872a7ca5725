"""What a bad reranker can cost: its order fused with that of the index, at half a weight.

The questions are the example catalogue's, the index a fair but noisy judge of them, and the
reranker an oracle that knows the truth and departs from it as the row says.
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
    "a quarter of its grades are guesses": {"lies": 0.25},
    "half of them": {"lies": 0.5},
    "all of them": {"lies": 1.0},
    "all, and the first shown are favoured": {"lies": 1.0, "bias": 5},
    "all, and the last shown are favoured": {"lies": 1.0, "bias": -10},
    "turns the truth round": {"spite": True},
}
MOST = 8
"""Candidates of which every order is tried."""


def render() -> str:
    """nDCG of the index, of the reranker and of both; then the bound on the index's best."""
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
