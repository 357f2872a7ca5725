"""The registries: the default one, and one that sums up several processes."""

from __future__ import annotations

import os
from functools import cache

from mmsearch_app.contrib.prometheus.metrics import Searches, StateCollector
from mmsearch_app.inference import needing
from mmsearch_app.signals import searched

with needing("prometheus"):
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector


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
