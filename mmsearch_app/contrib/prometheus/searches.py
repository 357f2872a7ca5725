"""Metrics of searches: how many, with what outcome, and how long each stage took."""

from __future__ import annotations

from typing import Any

from mmsearch_app.inference import needing
from mmsearch_app.searching import Answer, InvalidQuery, SearchUnavailable

with needing("prometheus"):
    from prometheus_client import CollectorRegistry, Counter, Histogram

__all__ = ["Searches"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Searches:
    """Receives `mmsearch_app.signals.searched`. No label contains personal data."""

    def __init__(self, *, registry: CollectorRegistry) -> None:
        self.count = Counter(
            "mmsearch_searches",
            "Searches and late reranks, by outcome.",
            ["request", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "mmsearch_search_seconds",
            "Seconds taken by each stage of an answer.",
            ["request", "stage"],
            buckets=_SECONDS,
            registry=registry,
        )

    def observe(
        self, *, request: str, answer: Answer | None, error: Exception | None, **_: Any
    ) -> None:
        self.count.labels(request=request, outcome=_outcome(answer, error)).inc()
        for stage, milliseconds in answer.timings.items() if answer else ():
            self.seconds.labels(request=request, stage=stage).observe(milliseconds / 1000)


def _outcome(answer: Answer | None, error: Exception | None) -> str:
    if isinstance(error, InvalidQuery):
        return "invalid"
    if isinstance(error, SearchUnavailable):
        return "unavailable"
    if answer is None:
        return "failed"
    if answer.no_good_match or not answer.hits:
        return "nothing"
    return "reranked" if answer.ranked_by == "reranker" else "found"
