"""Which registry holds what: the default one, and one that sums several processes."""

from __future__ import annotations

import os
from functools import cache

from mmsearch_app.contrib.prometheus.searches import Searches
from mmsearch_app.contrib.prometheus.state import StateCollector
from mmsearch_app.inference import needing
from mmsearch_app.signals import searched

with needing("prometheus"):
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["build_registry", "register_metrics"]


@cache
def register_metrics() -> None:
    """Count searches, and add the state of the index to the default registry; once."""
    searches = Searches(registry=REGISTRY)
    searched.connect(searches.observe, weak=False, dispatch_uid="mmsearch_app.contrib.prometheus")
    REGISTRY.register(StateCollector())


def build_registry() -> CollectorRegistry:
    """The registry that a view of metrics should show.

    The default one; in multiprocess mode (PROMETHEUS_MULTIPROC_DIR) one with the sums of all
    processes, to which the state is added: it is read from the database and the index, so any
    process may answer for all. Only the reranker's load is then that of the answering process.
    """
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(StateCollector())
    return registry
