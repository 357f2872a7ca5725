"""Ask judged questions and report the mean measures, with one-sided baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mmsearch_app.evaluation.metrics import average_precision, ndcg, recall_at
from mmsearch_app.evaluation.questions import Judged
from mmsearch_app.searching import Query, answer
from mmsearch_app.sources import registry


def evaluate(questions: Sequence[Judged], *, k: int = 10) -> dict[str, dict[str, float]]:
    """Return mean measures by kind of question: as asked, and by its words or image alone.

    Many composed questions can be answered by one half, so a composed score means little
    without those of the halves beside it. Raises ValueError (InvalidQuery is one) for a
    question that cannot be asked or whose answers are no products.
    """
    scores: dict[str, list[dict[str, float]]] = {}
    for judged in questions:
        relevant = judged.answers()
        for name, query in _variants(judged.query(limit=k)).items():
            found = [registry.keys_of(hit.product)[0] for hit in answer(query).hits]
            scores.setdefault(name, []).append(_measures(found, relevant, k))
    return {name: _means(rows) for name, rows in scores.items()}


def _variants(query: Query) -> dict[str, Query]:
    has_image = query.image is not None or query.like is not None
    if not (query.text and has_image):
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
