"""Build the pluggable parts that `MMSEARCH` names, one object of each per process."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from mmsearch_app.conf import Part, get_settings, read_part
from mmsearch_app.embedders import Batcher, Composer, Embedder, find_composer, find_preset
from mmsearch_app.indexes import Index
from mmsearch_app.inference import renew_after_fork
from mmsearch_app.rerankers import Reranker

__all__ = [
    "build_embedder",
    "get_batcher",
    "get_composer",
    "get_embedder",
    "get_index",
    "get_reranker",
    "loadable",
]

_PROTOCOLS: Mapping[str, type] = {"EMBEDDER": Embedder, "INDEX": Index, "RERANKER": Reranker}
_built: dict[str, Any] = {}
_building = threading.RLock()


def get_embedder() -> Embedder:
    """Return this process's embedder. No weights are read yet."""
    return _get("EMBEDDER")  # type: ignore[no-any-return]


def get_index() -> Index:
    """Return this process's index. Nothing is opened yet."""
    return _get("INDEX")  # type: ignore[no-any-return]


def get_reranker() -> Reranker | None:
    """Return this process's reranker, or None if none is configured."""
    return _get("RERANKER")  # type: ignore[no-any-return]


def get_batcher() -> Batcher:
    """Return the batcher with which the threads of this process embed their queries together."""
    with _building:
        _drop_outdated()
        if "BATCHER" not in _built:
            most, seconds = get_settings().QUERY_BATCH, get_settings().QUERY_SECONDS
            _built["BATCHER"] = Batcher(get_embedder(), most=most, seconds=seconds)
        return _built["BATCHER"]  # type: ignore[no-any-return]


def get_composer() -> Composer | None:
    """Return what describes images for later queries, or None if the embedder does not offer it."""
    with _building:
        _drop_outdated()
        if "COMPOSER" not in _built:
            most, seconds = get_settings().QUERY_BATCH, get_settings().QUERY_SECONDS
            _built["COMPOSER"] = find_composer(get_embedder(), most=most, seconds=seconds)
        return _built["COMPOSER"]  # type: ignore[no-any-return]


def build_embedder(value: object) -> Embedder:
    """Build another embedder from a value like that of `MMSEARCH["EMBEDDER"]`.

    Raises ImproperlyConfigured.
    """
    return _build("EMBEDDER", read_part("EMBEDDER", value))  # type: ignore[no-any-return]


def _forget(*, setting: str, **_: object) -> None:
    """Close the index and drop all parts; the next call builds them from the new setting."""
    if setting != "MMSEARCH":
        return
    with _building:
        _drop()


def _drop() -> None:
    index = _built.get("INDEX")
    _built.clear()
    if index is not None:
        index.close()


def _drop_outdated() -> None:
    """Drop parts that were built before the test runner came, which has other settings."""
    if _built.get("SETTINGS") is not get_settings():
        _drop()
        _built["SETTINGS"] = get_settings()


def _get(key: str) -> Any:
    with _building:  # two threads must not build the same part twice
        _drop_outdated()
        if key not in _built:
            part: Part | None = getattr(get_settings(), key)
            _built[key] = _build(key, part)
        return _built[key]


def _build(key: str, part: Part | None) -> Any:
    if part is None:
        return None
    if part.PRESET:
        part = _resolve_preset(part)
    try:
        backend = import_string(part.BACKEND)
    except (ImportError, AttributeError) as error:
        msg = f"MMSEARCH[{key!r}]['BACKEND'] = {part.BACKEND!r} cannot be imported: {error}"
        raise ImproperlyConfigured(msg) from error
    try:
        built = backend(**part.OPTIONS)
    except (TypeError, ValueError) as error:
        msg = f"MMSEARCH[{key!r}]['OPTIONS'] do not fit {part.BACKEND}: {error}"
        raise ImproperlyConfigured(msg) from error
    protocol = _PROTOCOLS[key]
    if lacking := ", ".join(_find_lacking(built, protocol)):
        kind = f"{protocol.__module__}.{protocol.__name__}"
        msg = (
            f"MMSEARCH[{key!r}]['BACKEND'] = {part.BACKEND!r} does not implement {kind}: "
            f"it lacks {lacking}."
        )
        raise ImproperlyConfigured(msg)
    return built


def _resolve_preset(part: Part) -> Part:
    try:
        preset = find_preset(part.PRESET)
        return Part(BACKEND=preset.backend, OPTIONS=preset.complete(part.OPTIONS))
    except (TypeError, ValueError) as error:
        msg = f"MMSEARCH['EMBEDDER']: {error}"
        raise ImproperlyConfigured(msg) from error


def _find_lacking(built: object, protocol: type) -> list[str]:
    """Return the missing members. None is read: that may open files or fail."""
    members = {*protocol.__annotations__, *(n for n in vars(protocol) if not n.startswith("_"))}
    if hasattr(type(built), "__getattr__"):
        return []  # a proxy of another object
    nothing = object()
    return sorted(n for n in members if inspect.getattr_static(built, n, nothing) is nothing)


def loadable() -> Iterator[tuple[str, Any]]:
    """Yield the parts that have weights or a server: the embedder and the reranker, if any."""
    yield "embedder", get_embedder()
    if (reranker := get_reranker()) is not None:
        yield "reranker", reranker


def _renew_lock() -> None:
    global _building
    _building = threading.RLock()


setting_changed.connect(_forget, dispatch_uid="mmsearch_app.backends")
renew_after_fork(_renew_lock)
