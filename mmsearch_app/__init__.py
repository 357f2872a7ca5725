"""Multimodal product search for Django: "find products like this, but …"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsearch_app.ledger import paused
    from mmsearch_app.query import Answer, Hit, Query
    from mmsearch_app.registry import register
    from mmsearch_app.searching import search
    from mmsearch_app.signals import mark
    from mmsearch_app.sources import ImageSource
    from mmsearch_app.warming import warm_up

__all__ = [
    "Answer",
    "Hit",
    "ImageSource",
    "Query",
    "mark",
    "paused",
    "register",
    "search",
    "warm_up",
]
__version__ = "0.1.0"

_HOMES = {
    "Answer": "query",
    "Hit": "query",
    "ImageSource": "sources",
    "Query": "query",
    "mark": "signals",
    "paused": "ledger",
    "register": "registry",
    "search": "searching",
    "warm_up": "warming",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use: models cannot be imported before the apps are."""
    from importlib import import_module

    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
