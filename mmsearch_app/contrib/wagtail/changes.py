"""Changes in a Wagtail site that no field of a page shows."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.db.models.signals import post_save

from mmsearch_app.contrib.wagtail.access import below
from mmsearch_app.contrib.wagtail.source import PageImages
from mmsearch_app.indexing import mark
from mmsearch_app.inference import needing
from mmsearch_app.sources import registry

with needing("wagtail"):
    from wagtail.images import get_image_model
    from wagtail.models import ReferenceIndex
    from wagtail.signals import post_page_move


def watch_site() -> None:
    """Mark pages that move, and pages with an image in a StreamField whose file is replaced."""
    uid = "mmsearch_app.contrib.wagtail"
    post_page_move.connect(mark_moved, dispatch_uid=f"{uid}.moves")
    post_save.connect(mark_references, sender=get_image_model(), dispatch_uid=f"{uid}.images")


def mark_moved(*, instance: Any, **_: Any) -> None:
    """Mark the images of a page that moved and of all below it, whose ancestors have changed."""
    for source in registry:
        if isinstance(source, PageImages):
            rows = source.model._base_manager.filter(below(source.page_lookup, [instance.path]))
            mark(rows)


def mark_references(*, instance: Any, raw: bool = False, created: bool = False, **_: Any) -> None:
    """Mark rows that reach the image by a property, where Wagtail knows that they refer to it."""
    if raw or created:
        return
    references = ReferenceIndex.get_references_to(instance)
    for source in registry:
        if isinstance(source, PageImages) and not source.picture_lookup:
            mark(_referring(source, references))


def _referring(source: PageImages, references: QuerySet[Any]) -> QuerySet[Any]:
    pks = source.valid_keys(references.values_list("object_id", flat=True))
    return source.model._base_manager.filter(**{f"{source.page_lookup}pk__in": pks})
