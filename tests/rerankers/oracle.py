"""A reranker that knows the example catalogue's attributes, and lies on demand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log2

from example_shop.catalogue import Item, items
from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.rerankers.fusion import fuse, fuse_scores

ITEMS = {item.title: item for item in items()}
SHOWN = 9


def fit(wanted: Item, found: Item) -> int:
    """How well a product matches "like this": 0 to 4; the kind counts more than the look."""
    same = (found.colour == wanted.colour) + (found.pattern == wanted.pattern)
    return 2 * (found.kind == wanted.kind) + same


@dataclass(kw_only=True)
class Oracle:
    """Grades by attributes. `lies` is the probability that a grade is random, `bias` is added to
    the grade of the first candidate and falls towards 0 at the last, `spite` reverses all grades.
    """

    lies: float = 0.0
    bias: float = 0.0
    spite: bool = False
    chance: random.Random = field(default_factory=lambda: random.Random(5))
    fingerprint: str = "oracle-1"

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        wanted = ITEMS[query.text or ""]
        places = range(len(candidates))
        known = [2.5 * fit(wanted, ITEMS[found.text or ""]) for found in candidates]
        grades = [
            self.chance.uniform(0, 10) if self.chance.random() < self.lies else grade
            for grade in known
        ]
        if self.spite:
            grades = [10 - grade for grade in grades]
        grades = [grades[p] + self.bias * (1 - p / len(places)) for p in places]
        order = sorted(places, key=lambda p: (-grades[p], p))
        return Ranking(order=tuple(order), grades=tuple(grades))


@dataclass(frozen=True, kw_only=True)
class Question:
    """A wanted product, and the products that stage 1 found with their scores, best first."""

    wanted: Item
    found: tuple[Item, ...]
    scores: tuple[float, ...]


def questions(count: int, *, noise: float) -> list[Question]:
    """Questions whose stage 1 judges some forty products fairly, but with noise."""
    chance = random.Random(11)
    every = list(ITEMS.values())
    made = []
    for _ in range(count):
        wanted = chance.choice(every)
        alike = [item for item in every if item.kind == wanted.kind and item != wanted]
        pool = {item.sku: item for item in [*alike, *chance.sample(every, 20)] if item != wanted}
        scored = [
            (fit(wanted, item) / 4 + chance.gauss(0, noise), sku) for sku, item in pool.items()
        ]
        best = sorted(scored, reverse=True)[:SHOWN]
        found = tuple(pool[sku] for _, sku in best)
        made.append(Question(wanted=wanted, found=found, scores=tuple(s for s, _ in best)))
    return made


def measure(question: Question, order: Sequence[int]) -> float:
    """The nDCG of an order of the products found, with gains by `fit`."""
    gains = [2.0 ** fit(question.wanted, item) - 1 for item in question.found]
    ideal = sum(g / log2(p + 2) for p, g in enumerate(sorted(gains, reverse=True)))
    given = sum(gains[place] / log2(p + 2) for p, place in enumerate(order))
    return given / ideal if ideal else 1.0


def compare(
    oracle: Oracle, asked: Sequence[Question], *, weight: float, by_scores: bool = False
) -> tuple[float, float, float]:
    """Mean nDCG of stage 1, of the oracle alone, and of both fused."""
    sums = [0.0, 0.0, 0.0]
    for question in asked:
        shown = [Content(text=item.title) for item in question.found]
        ranking = oracle.rerank(Content(text=question.wanted.title), shown)
        assert ranking.grades is not None
        if by_scores:
            fused = fuse_scores(question.scores, ranking.grades, weight=weight)
        else:
            fused = fuse(ranking.order, weight=weight)
        for place, order in enumerate((range(len(shown)), ranking.order, fused)):
            sums[place] += measure(question, order) / len(asked)
    return sums[0], sums[1], sums[2]
