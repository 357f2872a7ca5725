"""Loading the models in a serving process, before its first visitor does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from mmsearch_app.conf import get_embedder, get_index, get_reranker

__all__ = ["loadable", "warm_up"]

log = logging.getLogger(__name__)


def loadable() -> Iterator[tuple[str, Any]]:
    """The parts that have weights or a server, by name: embedder and, if there is one, reranker."""
    yield "embedder", get_embedder()
    if (reranker := get_reranker()) is not None:
        yield "reranker", reranker


def warm_up() -> None:
    """Load embedder and reranker and reach the index, in this process.

    For the hook of a server that runs in each worker once the worker is there, such as
    gunicorn's `post_worker_init`; not before a fork, which neither models nor connections
    survive. What cannot be loaded is logged and raises nothing: the process serves all else, and
    the first search tries again.
    """
    steps = [(name, getattr(part, "warm_up", None)) for name, part in loadable()]
    for name, step in [*steps, ("index", get_index().live)]:
        try:
            if step is not None:
                step()
        except Exception:  # a shop's own part raises anything
            log.exception("The %s cannot be warmed up", name)
