"""Interchangeable parts: from their value in the setting to an object."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.embedders.presets import find_preset
from mmsearch_app.indexes.base import Index
from mmsearch_app.rerankers.base import Reranker

__all__ = ["Part", "build", "read_part", "read_preset"]

_PROTOCOLS: Mapping[str, type] = {"EMBEDDER": Embedder, "INDEX": Index, "RERANKER": Reranker}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An interchangeable part: a dotted path to its class and the class's options."""

    BACKEND: str
    OPTIONS: Mapping[str, Any] = field(default_factory=dict)
    PRESET: str = ""
    """The name in `mmsearch_app.embedders.presets` that the two come from, or ""."""


def read_part(key: str, value: object) -> Part | None:
    """A dict with BACKEND and OPTIONS; for an embedder also a preset's name, or a dict with
    PRESET and OPTIONS; for a reranker also None. Raises ImproperlyConfigured."""
    if value is None and key == "RERANKER":
        return None
    if key == "EMBEDDER" and isinstance(value, str):
        return read_preset(value, {})
    kinds = [{"BACKEND"}, {"PRESET"}] if key == "EMBEDDER" else [{"BACKEND"}]
    if not isinstance(value, Mapping) or set(value) - {"OPTIONS"} not in kinds:
        raise _neither_nor(key, value)
    options = value.get("OPTIONS") or {}
    if not isinstance(options, Mapping):
        raise _neither_nor(key, value)
    if "PRESET" in value:
        return read_preset(value["PRESET"], options)
    return Part(BACKEND=value["BACKEND"], OPTIONS=dict(options))


def read_preset(name: str, options: Mapping[str, Any]) -> Part:
    """The part that a preset's name stands for. Raises ImproperlyConfigured."""
    try:
        preset = find_preset(name)
        return Part(BACKEND=preset.backend, OPTIONS=preset.complete(options), PRESET=name)
    except (TypeError, ValueError) as error:
        msg = f"MMSEARCH['EMBEDDER']: {error}"
        raise ImproperlyConfigured(msg) from error


def build(key: str, part: Part | None) -> Any:
    """The part itself; None for None. Raises ImproperlyConfigured."""
    if part is None:
        return None
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
        msg = f"MMSEARCH[{key!r}]['BACKEND'] = {part.BACKEND!r} is no {kind}: it lacks {lacking}."
        raise ImproperlyConfigured(msg)
    return built


def _find_lacking(built: object, protocol: type) -> list[str]:
    """The members that are not there; none is read, for that may open files or fail."""
    members = {*protocol.__annotations__, *(n for n in vars(protocol) if not n.startswith("_"))}
    if hasattr(type(built), "__getattr__"):
        return []  # stands for another object
    nothing = object()
    return sorted(n for n in members if inspect.getattr_static(built, n, nothing) is nothing)


def _neither_nor(key: str, value: object) -> ImproperlyConfigured:
    """Names keys but no value: one may be a password."""
    preset = "a preset's name or " if key == "EMBEDDER" else ""
    given = type(value).__name__
    if isinstance(value, Mapping):
        given = f"a dict with {', '.join(sorted(map(str, value))) or 'nothing'}"
    return ImproperlyConfigured(
        f"MMSEARCH[{key!r}] must be {preset}a dict with BACKEND (a dotted path) and, where needed, "
        f"OPTIONS (a dict), not {given}."
    )
