"""Metrics of searches, ledger, index, rebuild and reranker, and the registries they are in."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.db import DatabaseError
from django.db.models import Min
from django.utils import timezone

from mmsearch_app.conf import get_settings
from mmsearch_app.health import examine
from mmsearch_app.indexing import ledger
from mmsearch_app.inference import needing
from mmsearch_app.models import Entry, Rebuild
from mmsearch_app.searching import Answer, InvalidQuery, SearchUnavailable, get_guard
from mmsearch_app.signals import searched

with needing("prometheus"):
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.multiprocess import MultiProcessCollector
    from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

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


_HELP = {
    "entries": "Images in the ledger, by state.",
    "oldest_waiting_seconds": "Age of the oldest change that is not indexed yet, or 0.",
    "rebuild_open": "Whether a rebuild is requested or running.",
    "rebuild_pictures": "Images that the open rebuild has to index.",
    "rebuild_pictures_done": "Images that the open rebuild has indexed.",
    "index_live": "Whether a live index exists.",
    "index_matches_model": "Whether the configured model built the live index.",
    "reranker_resting": "Whether the reranker is paused after failures, in this process.",
    "reranker_failures": "Consecutive failures of the reranker, in this process.",
    "reranker_under_way": "Reranks that run or wait, in this process.",
}
_LABELS = {"entries": ["state"]}
_Sample = tuple[str, float, list[str]]
"""Name, value and label values."""


class StateCollector(Collector):
    """Metrics that cannot be read now are left out; the log says why."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield the names only: a registry asks for them at start-up, when nothing may be read."""
        yield from _families().values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = _families()
        for name, value, labels in (*_of_database(), *_of_index(), *_of_reranker()):
            families[name].add_metric(labels, value)
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(f"mmsearch_{name}", text, labels=_LABELS.get(name, []))
        for name, text in _HELP.items()
    }


def _of_database() -> list[_Sample]:
    try:
        return [*_of_ledger(), *_of_rebuild()]
    except DatabaseError:
        log.exception("The ledger cannot be read")
        return []


def _of_ledger() -> Iterator[_Sample]:
    for state, count in ledger.counts().items():
        yield "entries", count, [state]
    due = Entry.objects.filter(due_at__isnull=False)
    oldest = due.aggregate(oldest=Min("marked_at"))["oldest"]
    waited = (timezone.now() - oldest).total_seconds() if oldest else 0.0
    yield "oldest_waiting_seconds", max(0.0, waited), []


def _of_rebuild() -> Iterator[_Sample]:
    row = Rebuild.objects.filter(open=True).first()
    yield "rebuild_open", row is not None, []
    if row is not None:
        yield "rebuild_pictures", row.total, []
        yield "rebuild_pictures_done", row.done, []


def _of_index() -> Iterator[_Sample]:
    health = examine()
    yield "index_live", health.index == "live", []
    if health.model in ("matches", "differs"):
        yield "index_matches_model", health.model == "matches", []


def _of_reranker() -> Iterator[_Sample]:
    if get_settings().RERANKER is None:
        return
    load = get_guard().load()
    yield "reranker_resting", load.resting, []
    yield "reranker_failures", load.failures, []
    yield "reranker_under_way", load.under_way, []


@cache
def register_metrics() -> None:
    """Count searches and add the state of the index to the default registry, once per process."""
    searches = Searches(registry=REGISTRY)
    searched.connect(searches.observe, weak=False, dispatch_uid="mmsearch_app.contrib.prometheus")
    REGISTRY.register(StateCollector())


def build_registry() -> CollectorRegistry:
    """Return the registry that a metrics view should export.

    In multiprocess mode (PROMETHEUS_MULTIPROC_DIR) it contains the sums over all processes, and
    the state of ledger and index, which any process can read. The reranker's load is then that of
    the answering process only.
    """
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(StateCollector())
    return registry
