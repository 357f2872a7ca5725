"""The one setting `MMSEARCH`: typed, with defaults, checked, and the parts built from it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from mmsearch_app.forking import call_after_fork
from mmsearch_app.parts import Part, build, read_part, read_preset
from mmsearch_app.values import check_value

if TYPE_CHECKING:
    from mmsearch_app.embedders.base import Embedder
    from mmsearch_app.embedders.batching import Batcher
    from mmsearch_app.guard import Guard
    from mmsearch_app.indexes.base import Index
    from mmsearch_app.rerankers.base import Ranking, Reranker

__all__ = [
    "Part",
    "Settings",
    "build_embedder",
    "get_batcher",
    "get_embedder",
    "get_guard",
    "get_index",
    "get_reranker",
    "get_settings",
]

_PARTS = ("EMBEDDER", "INDEX", "RERANKER")
_built: dict[str, Any] = {}
_building = threading.RLock()


def _starter() -> Part:
    return read_preset("starter", {})


def _milvus() -> Part:
    return Part(BACKEND="mmsearch_app.indexes.milvus.MilvusIndex")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every key of `MMSEARCH` with its default."""

    EMBEDDER: Part = field(default_factory=_starter)
    INDEX: Part = field(default_factory=_milvus)
    RERANKER: Part | None = None

    LIMIT: int = 24
    """Products on one page of results."""
    MAX_LIMIT: int = 100
    """The most that one request may ask for."""
    MAX_OFFSET: int = 1000
    """How far a visitor may page."""
    MIN_SCORE: float = 0.0
    """Below this cosine of the best hit, the answer says that there is no good match."""
    WITHOUT_WEIGHT: float = 0.5
    """How strongly unwanted words push away."""
    RERANK_LIMIT: int = 9
    """How many of the first hits the reranker looks at."""
    RERANK_WEIGHT: float = 0.5
    """The reranker's share when its order is fused with that of the index, 0 to 1."""
    RERANK_FUSION: str = "ranks"
    """What is fused: "ranks", or "scores" (its grades, where it gives any, and the cosines)."""
    RERANK_SECONDS: int = 600
    """How long a late rerank may be asked for; the query picture and the order that a model
    made are kept as long."""
    RERANK_TIMEOUT: float = 15.0
    """Seconds that a visitor waits for the reranker; then the order of the index holds."""
    RERANK_CONCURRENCY: int = 2
    """Calls of the reranker at work at the same time in one process."""
    RERANK_QUEUE: int = 8
    """How many more wait for their turn; beyond, a late rerank is told to come back (503)."""
    RERANK_PAUSE: float = 30.0
    """Seconds for which the reranker is left alone after three failures in a row."""

    MAX_TEXT_LENGTH: int = 500
    """Characters of words in a query."""
    MAX_IMAGE_BYTES: int = 8 * 1024 * 1024
    """Bytes of an uploaded picture."""
    MAX_IMAGE_PIXELS: int = 40_000_000
    """Width times height of any picture, read from its header before decoding."""
    MAX_SOURCE_BYTES: int = 64 * 1024 * 1024
    """Bytes of a picture of the shop's own storage."""
    MAX_CONCURRENT_SEARCHES: int = 8
    """Searches at work at the same time in one process; further ones are told to wait (503)."""
    QUERY_BATCH: int = 16
    """Queries of several visitors that one process embeds together."""
    QUERY_SECONDS: float = 30.0
    """How long a query waits for those before it at the embedder, then it is told to wait (503)."""
    THROTTLE_RATE: str | None = "60/min"
    """Searches by API for one visitor, in the notation of Django REST framework."""

    BATCH_SIZE: int = 32
    """Pictures that are embedded and written together."""
    LEASE_SECONDS: int = 600
    """After this time a batch that a dead worker held is free again."""
    MAX_ATTEMPTS: int = 8
    """Attempts at a picture before it is given up; `mmsearch_reconcile` tries it again a day
    later."""
    RETRY_SECONDS: int = 10
    """Wait after the first failure; doubled after each further one, at most an hour."""
    POLL_SECONDS: float = 2.0
    """How often a waiting worker looks for work."""
    WORKER_THREAD: bool = False
    """Whether the process that serves the shop indexes in a thread of its own."""


def get_settings() -> Settings:
    """The project's settings, validated. Raises ImproperlyConfigured, with the remedy."""
    return _load()


@cache
def _load() -> Settings:
    given = getattr(django_settings, "MMSEARCH", {})
    if not isinstance(given, Mapping):
        msg = f"MMSEARCH must be a dict, not {type(given).__name__}."
        raise ImproperlyConfigured(msg)
    known = {f.name for f in fields(Settings)}
    if unknown := sorted(map(str, set(given) - set(known))):
        msg = f"MMSEARCH has unknown keys {unknown}; the right ones are {sorted(known)}."
        raise ImproperlyConfigured(msg)
    defaults = Settings()
    checked: dict[str, Any] = {
        key: read_part(key, value)
        if key in _PARTS
        else check_value(key, value, default=getattr(defaults, key))
        for key, value in given.items()
    }
    settings = Settings(**checked)
    if settings.LIMIT > settings.MAX_LIMIT:
        msg = f"MMSEARCH['LIMIT'] = {settings.LIMIT} is above MAX_LIMIT = {settings.MAX_LIMIT}."
        raise ImproperlyConfigured(msg)
    return settings


def get_embedder() -> Embedder:
    """The embedder of the settings, one per process; no weight is read yet."""
    return _part_of("EMBEDDER")  # type: ignore[no-any-return]


def build_embedder(value: object) -> Embedder:
    """A further embedder, from a value as `MMSEARCH["EMBEDDER"]` has it; the same errors."""
    return build("EMBEDDER", read_part("EMBEDDER", value))  # type: ignore[no-any-return]


def get_batcher() -> Batcher:
    """Through it, the queries of this process's threads reach the embedder together."""
    from mmsearch_app.embedders.batching import Batcher

    with _building:
        if "BATCHER" not in _built:
            most, seconds = get_settings().QUERY_BATCH, get_settings().QUERY_SECONDS
            _built["BATCHER"] = Batcher(get_embedder(), most=most, seconds=seconds)
        return _built["BATCHER"]  # type: ignore[no-any-return]


def get_index() -> Index:
    """The index of the settings, one per process; nothing is opened yet."""
    return _part_of("INDEX")  # type: ignore[no-any-return]


def get_reranker() -> Reranker | None:
    """The reranker of the settings, one per process, or None."""
    return _part_of("RERANKER")  # type: ignore[no-any-return]


def get_guard() -> Guard[Ranking]:
    """Through it, the threads of this process reach the reranker."""
    from mmsearch_app.guard import Guard

    with _building:
        if "GUARD" not in _built:
            settings = get_settings()
            _built["GUARD"] = Guard(
                places=settings.RERANK_CONCURRENCY,
                queue=settings.RERANK_QUEUE,
                pause=settings.RERANK_PAUSE,
            )
        return _built["GUARD"]  # type: ignore[no-any-return]


def _part_of(key: str) -> Any:
    with _building:  # two threads at their first search must not build two
        if key not in _built:
            part: Part | None = getattr(get_settings(), key)
            _built[key] = build(key, part)
        return _built[key]


def reset(*, setting: str = "MMSEARCH", **_: object) -> None:
    """Forget what was built, so that the next call reads the settings anew."""
    if setting != "MMSEARCH":
        return
    with _building:
        index = _built.get("INDEX")
        _built.clear()
        _load.cache_clear()
        if index is not None:
            index.close()


def _renew_lock() -> None:
    """A child has none of the threads that build."""
    global _building
    _building = threading.RLock()


setting_changed.connect(reset, dispatch_uid="mmsearch_app.conf.reset")
call_after_fork(_renew_lock)
