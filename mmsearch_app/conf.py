"""The one setting `MMSEARCH`: typed, with defaults, checked, and the parts built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from mmsearch_app.embedders.base import Embedder
    from mmsearch_app.indexes.base import Index
    from mmsearch_app.rerankers.base import Reranker

__all__ = ["Part", "Settings", "get_embedder", "get_index", "get_reranker", "get_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An interchangeable part: a dotted path to its class and the class's options."""

    BACKEND: str
    OPTIONS: Mapping[str, Any] = field(default_factory=dict)


def _starter() -> Part:
    return Part(BACKEND="mmsearch_app.embedders.starter.StarterEmbedder")


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
    RERANK_WEIGHT: float = 0.7
    """The reranker's share when its order is fused with that of the index, 0 to 1."""
    RERANK_SECONDS: int = 600
    """How long a late rerank may be asked for; the query picture is kept as long."""

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
    THROTTLE_RATE: str | None = "60/min"
    """Searches by API for one visitor, in the notation of Django REST framework."""

    BATCH_SIZE: int = 32
    """Pictures that are embedded and written together."""
    LEASE_SECONDS: int = 600
    """After this time a batch that a dead worker held is free again."""
    MAX_ATTEMPTS: int = 8
    """Attempts at a picture before it waits for a person."""
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
    known = {f.name: f for f in fields(Settings)}
    if unknown := sorted(map(str, set(given) - set(known))):
        msg = f"MMSEARCH has unknown keys {unknown}; the right ones are {sorted(known)}."
        raise ImproperlyConfigured(msg)
    parts = {"EMBEDDER", "INDEX", "RERANKER"}
    defaults = Settings()
    return Settings(
        **{
            key: _part(key, value) if key in parts else _typed(key, value, getattr(defaults, key))
            for key, value in given.items()
        }
    )


def _part(key: str, value: object) -> Part | None:
    if value is None and key == "RERANKER":
        return None
    names = {"BACKEND", "OPTIONS"}
    if not isinstance(value, Mapping) or "BACKEND" not in value or set(value) - names:
        msg = (
            f"MMSEARCH[{key!r}] must be a dict with BACKEND (a dotted path) and, where needed, "
            f"OPTIONS (a dict), not {value!r}."
        )
        raise ImproperlyConfigured(msg)
    return Part(BACKEND=value["BACKEND"], OPTIONS=dict(value.get("OPTIONS") or {}))


def _typed(key: str, value: object, default: object) -> object:
    if key == "THROTTLE_RATE":
        valid = value is None or isinstance(value, str)
    elif isinstance(default, bool):
        valid = isinstance(value, bool)
    else:
        valid = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        valid = valid and (isinstance(default, float) or isinstance(value, int))
    if not valid:
        msg = (
            f"MMSEARCH[{key!r}] = {value!r} must be a {type(default).__name__} "
            f"like its default {default!r}."
        )
        raise ImproperlyConfigured(msg)
    return value


@cache
def get_embedder() -> Embedder:
    """The embedder of the settings, one per process; no weight is read yet."""
    return _build("EMBEDDER", get_settings().EMBEDDER)  # type: ignore[no-any-return]


@cache
def get_index() -> Index:
    """The index of the settings, one per process; nothing is opened yet."""
    return _build("INDEX", get_settings().INDEX)  # type: ignore[no-any-return]


@cache
def get_reranker() -> Reranker | None:
    """The reranker of the settings, one per process, or None."""
    part = get_settings().RERANKER
    return _build("RERANKER", part) if part else None


def _build(key: str, part: Part) -> Any:
    try:
        backend = import_string(part.BACKEND)
    except (ImportError, AttributeError) as error:
        msg = f"MMSEARCH[{key!r}]['BACKEND'] = {part.BACKEND!r} cannot be imported: {error}"
        raise ImproperlyConfigured(msg) from error
    try:
        return backend(**part.OPTIONS)
    except (TypeError, ValueError) as error:
        msg = f"MMSEARCH[{key!r}]['OPTIONS'] do not fit {part.BACKEND}: {error}"
        raise ImproperlyConfigured(msg) from error


def reset(*, setting: str = "MMSEARCH", **_: object) -> None:
    """Forget what was built, so that the next call reads the settings anew."""
    if setting != "MMSEARCH":
        return
    if get_index.cache_info().currsize:
        get_index().close()
    for cached in (_load, get_embedder, get_index, get_reranker):
        cached.cache_clear()


setting_changed.connect(reset, dispatch_uid="mmsearch_app.conf.reset")
