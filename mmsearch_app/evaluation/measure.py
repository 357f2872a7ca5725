"""How good the search is: standard measures over judged questions, with one-sided baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmsearch_app.searching import Hit, Query, answer, build_query, find_products
from mmsearch_app.sources import registry

__all__ = ["Judged", "average_precision", "evaluate", "ndcg", "recall_at"]

_KINDS = {"text": str, "like": str | int, "image": str, "without": str, "filters": Mapping}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One question with the products that answer it."""

    relevant: Mapping[str, float]
    """Primary key as text, or `app.model:pk`, to a grade above 0 (1 where there is only right
    and wrong)."""
    text: str = ""
    like: str = ""
    image: str = ""
    """Path of a picture file."""
    without: str = ""
    filters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Judged:
        """From a JSON object with these keys; `relevant` may be a list of keys as well.

        Raises ValueError that says what is wrong.
        """
        if not isinstance(row, Mapping):
            msg = "a question is a JSON object."
            raise ValueError(msg)
        if unknown := set(row) - {"relevant", *_KINDS}:
            msg = f"unknown keys {sorted(unknown)}"
            raise ValueError(msg)
        given = {key: value for key, value in row.items() if key in _KINDS and value is not None}
        for key, value in given.items():
            if not isinstance(value, _KINDS[key]) or isinstance(value, bool):
                msg = f'"{key}" cannot be {value!r}.'
                raise ValueError(msg)
        given["like"] = str(given.get("like", ""))
        return cls(relevant=_grades(row.get("relevant")), **given)

    def answers(self) -> dict[str, float]:
        """`relevant` by what stands for the products in the index. Raises ValueError."""
        return {_resolve(key): grade for key, grade in self.relevant.items()}

    def query(self, *, limit: int) -> Query:
        """What is asked. Raises InvalidQuery."""
        return build_query(
            text=self.text,
            like=self.like,
            image=Path(self.image).read_bytes() if self.image else None,
            without=self.without,
            filters=self.filters,
            limit=limit,
        )


def _grades(relevant: Any) -> dict[str, float]:
    grades = dict.fromkeys(relevant, 1) if isinstance(relevant, list) else relevant
    if not isinstance(grades, Mapping) or not grades:
        msg = '"relevant" must be a list of primary keys or an object of key to grade.'
        raise ValueError(msg)
    for key, grade in grades.items():
        if not isinstance(grade, int | float) or not 0 < grade < math.inf:
            msg = f"the grade of {key!r} must be a number above 0, not {grade!r}."
            raise ValueError(msg)
    return {str(key): float(grade) for key, grade in grades.items()}


def _resolve(key: str) -> str:
    found = {registry.keys_of(product)[0] for product in find_products(key)}
    if not found:
        msg = f'"relevant": there is no product {key!r}.'
        raise ValueError(msg)
    if len(found) > 1:
        msg = f'"relevant": which one is {key!r}: {" or ".join(sorted(found))}?'
        raise ValueError(msg)
    return found.pop()


def _key(hit: Hit) -> str:
    return registry.keys_of(hit.product)[0]


def recall_at(found: Sequence[str], relevant: Mapping[str, float], *, k: int) -> float:
    """Share of the relevant products among the first k, of those that could be there."""
    hits = sum(key in relevant for key in found[:k])
    return hits / min(k, len(relevant))


def average_precision(found: Sequence[str], relevant: Mapping[str, float], *, k: int) -> float:
    """Average precision at k, as CIRCO's mAP@k uses it (Baldrati et al., ICCV 2023)."""
    hits, total = 0, 0.0
    for place, key in enumerate(found[:k], 1):
        if key in relevant:
            hits += 1
            total += hits / place
    return total / min(k, len(relevant))


def ndcg(found: Sequence[str], relevant: Mapping[str, float], *, k: int) -> float:
    """Normalised discounted cumulative gain at k (Järvelin and Kekäläinen, TOIS 2002)."""

    def gain(grades: Sequence[float]) -> float:
        return sum(grade / math.log2(place + 2) for place, grade in enumerate(grades[:k]))

    ideal = gain(sorted(relevant.values(), reverse=True))
    return gain([relevant.get(key, 0.0) for key in found]) / ideal


def evaluate(questions: Sequence[Judged], *, k: int = 10) -> dict[str, dict[str, float]]:
    """Mean measures by kind of question: as asked, and with its words or its picture alone.

    Many composed questions can be answered by one half, so a composed score means little
    without the halves beside it. Raises InvalidQuery for a question that cannot be asked, or
    whose answers are no products.
    """
    scores: dict[str, list[dict[str, float]]] = {}
    for judged in questions:
        relevant = judged.answers()
        for name, query in _variants(judged.query(limit=k)).items():
            found = [_key(hit) for hit in answer(query).hits]
            scores.setdefault(name, []).append(_measures(found, relevant, k))
    return {name: _means(rows) for name, rows in scores.items()}


def _variants(query: Query) -> dict[str, Query]:
    pictured = query.image is not None or query.like is not None
    if not (query.text and pictured):
        return {"words" if query.text else "picture": query}
    return {
        "composed": query,
        "composed, words only": replace(query, image=None, like=None),
        "composed, picture only": replace(query, text=""),
    }


def _measures(found: Sequence[str], relevant: Mapping[str, float], k: int) -> dict[str, float]:
    return {
        "recall@1": recall_at(found, relevant, k=1),
        f"recall@{k}": recall_at(found, relevant, k=k),
        f"mAP@{k}": average_precision(found, relevant, k=k),
        f"nDCG@{k}": ndcg(found, relevant, k=k),
    }


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    return {"questions": float(len(rows)), **means}
