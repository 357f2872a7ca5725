"""The protocol of a reranker: a query and its candidates in, a complete order out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, runtime_checkable

from mmsearch_app.inference import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """An order of n candidates. Raises ValueError for anything but a permutation: none is lost."""

    order: tuple[int, ...]
    """A permutation of range(n), best first."""
    grades: tuple[float, ...] | None = None
    """One grade per candidate in the candidates' order (not in `order`), or None."""
    reason: str = ""
    """Plain text written by a model: escape it."""
    caption: str = ""
    """What the model sees in the query image; plain text written by a model."""
    repairs: int = 0
    """How many corrections it took to make the model's reply complete."""
    agreement: float | None = None
    """Kendall's tau (-1 to 1) of the orders that the model gave when asked several times with
    the candidates shuffled; None if it was asked once. Guesses agree at about 0."""
    no_good_match: bool = False
    """Whether even the best candidate is not what was asked for, by the model's judgement."""

    def __post_init__(self) -> None:
        places = range(len(self.order))
        integers = all(hasattr(place, "__index__") for place in self.order)
        if not integers or sorted(self.order) != list(places):
            msg = f"order must be a permutation of {places}, not {self.order}"
            raise ValueError(msg)
        if self.grades is not None and len(self.grades) != len(self.order):
            msg = f"{len(self.grades)} grades for {len(self.order)} candidates"
            raise ValueError(msg)
        numbers = [*(self.grades or ()), 0 if self.agreement is None else self.agreement]
        if not all(isinstance(n, Real) and math.isfinite(n) for n in numbers):
            msg = f"grades and agreement must be finite, not {self.grades} and {self.agreement}"
            raise ValueError(msg)

    @property
    def says_nothing(self) -> bool:
        """Whether nothing of the model's reply could be used: the order consists of repairs."""
        unmoved = self.order == tuple(range(len(self.order)))
        return unmoved and self.grades is None and 0 < len(self.order) <= self.repairs


@runtime_checkable
class Reranker(Protocol):
    """A model that looks at the query and all candidates and returns a better order."""

    fingerprint: str
    """Model, revision, prompt and mode: a cached ranking is valid for one fingerprint."""

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        """Order all candidates: `Ranking.order` has exactly `len(candidates)` places.

        Write reason and caption in Django's active language, which is the visitor's. May raise
        anything: the visitor then gets the order of the index.
        """
        ...
