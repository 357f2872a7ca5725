"""Multimodal product search for Django: "find products like this, but …"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsearch_app.indexing import mark, paused
    from mmsearch_app.searching import Answer, Hit, InvalidQuery, Query, SearchUnavailable
    from mmsearch_app.searching.search import search
    from mmsearch_app.sources import Filter, ImageSource, register
    from mmsearch_app.warming import warm_up

__all__ = [
    "Answer",
    "Filter",
    "Hit",
    "ImageSource",
    "InvalidQuery",
    "Query",
    "SearchUnavailable",
    "mark",
    "paused",
    "register",
    "search",
    "warm_up",
]
__version__ = "0.4.0"

_ROOMS = dict.fromkeys(__all__, "searching") | {
    "Filter": "sources",
    "ImageSource": "sources",
    "mark": "indexing",
    "paused": "indexing",
    "register": "sources",
    "warm_up": "warming",
}


def __getattr__(name: str) -> Any:
    """Import a public name at first use: models cannot be imported before the apps are ready."""
    from importlib import import_module

    if name not in _ROOMS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
