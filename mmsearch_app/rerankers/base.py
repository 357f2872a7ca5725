"""What a reranker is: a query and its candidates in, a complete order out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, runtime_checkable

from mmsearch_app.inference import Content

__all__ = ["Ranking", "Reranker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """An order of n candidates. It cannot lose one: anything but a permutation is refused."""

    order: tuple[int, ...]
    """A permutation of range(n), best first."""
    grades: tuple[float, ...] | None = None
    """One grade per candidate in the candidates' order (not in `order`), or None."""
    reason: str = ""
    """Plain text written by a model: escape it."""
    caption: str = ""
    """What the model sees in the query picture; plain text written by a model."""
    repairs: int = 0
    """How many corrections the model's reply needed to become complete."""
    agreement: float | None = None
    """Kendall's tau (-1 to 1) of the orders that the model gave when asked several times with
    the candidates shuffled, or None where it was asked once. Guesses agree at about 0."""
    no_good_match: bool = False
    """Whether the model finds that not even the best candidate is what was asked for."""

    def __post_init__(self) -> None:
        places = range(len(self.order))
        whole = all(hasattr(place, "__index__") for place in self.order)
        if not whole or sorted(self.order) != list(places):
            msg = f"order must be a permutation of {places}, not {self.order}"
            raise ValueError(msg)
        if self.grades is not None and len(self.grades) != len(self.order):
            msg = f"{len(self.grades)} grades for {len(self.order)} candidates"
            raise ValueError(msg)
        agreement = () if self.agreement is None else (self.agreement,)
        if not all(map(_is_finite, (*(self.grades or ()), *agreement))):
            msg = f"grades and agreement must be finite, not {self.grades} and {self.agreement}"
            raise ValueError(msg)

    @property
    def says_nothing(self) -> bool:
        """Whether every place is a repair: nothing of the model's reply could be used."""
        unmoved = self.order == tuple(range(len(self.order)))
        return unmoved and self.grades is None and 0 < len(self.order) <= self.repairs


def _is_finite(number: object) -> bool:
    return isinstance(number, Real) and math.isfinite(number)


@runtime_checkable
class Reranker(Protocol):
    """A model that looks at the query and all candidates and returns a better order."""

    fingerprint: str
    """Names model, revision, prompt and mode: a cached ranking is valid for one only."""

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        """Order all candidates; `Ranking.order` has exactly `len(candidates)` places.

        Django's active language is the visitor's: that of a good reason.
        """
        ...
