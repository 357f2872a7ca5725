"""Pages that move: all below them have other ancestors, and only the moved page sends a signal."""

from __future__ import annotations

from typing import Any

from mmsearch_app.contrib.wagtail.access import below
from mmsearch_app.contrib.wagtail.source import PageImages
from mmsearch_app.indexing import mark
from mmsearch_app.inference import needing
from mmsearch_app.sources import registry

with needing("wagtail"):
    from wagtail.signals import post_page_move


def watch_moves() -> None:
    """Mark the images of a page that moves, and of those below it."""
    post_page_move.connect(mark_moved, dispatch_uid="mmsearch_app.contrib.wagtail.moves")


def mark_moved(*, instance: Any, **_: Any) -> None:
    for source in registry:
        if isinstance(source, PageImages):
            rows = source.model._base_manager.filter(below(source.page_lookup, [instance.path]))
            mark(rows)
