"""Changes in a django-oscar shop that reach products without a save of theirs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db.models import Q
from django.db.models.signals import post_save

from mmsearch_app.indexing import mark
from mmsearch_app.inference import needing

with needing("oscar"):
    from oscar.core.exceptions import AppNotFoundError, ClassNotFoundError
    from oscar.core.loading import get_class, get_model

BULK_ACTIONS = ("MakeProductsPublicAction", "MakeProductsNonPublicAction", "SetProductPriceAction")
"""Actions of the dashboard's product list that run `QuerySet.update`, which sends no signal."""


def watch_shop() -> None:
    """Mark products when a category moves and when the dashboard changes products in bulk."""
    uid = "mmsearch_app.contrib.oscar.category"
    post_save.connect(mark_below, sender=get_model("catalogue", "Category"), dispatch_uid=uid)
    for name in BULK_ACTIONS:
        try:
            action = get_class("dashboard.catalogue.bulk_actions", name)
        except (AppNotFoundError, ClassNotFoundError, ImportError):
            continue  # a shop without the dashboard, or without its bulk actions
        if not hasattr(action.execute, "marks"):
            action.execute = marking(action.execute)


def mark_below(*, instance: Any, raw: bool = False, created: bool = False, **_: Any) -> None:
    """Mark the products of a category and of all below it: their ancestors may have changed."""
    if raw or created:
        return
    categories = instance.get_descendants_and_self()
    inside = Q(categories__in=categories) | Q(parent__categories__in=categories)
    mark(get_model("catalogue", "Product").objects.filter(inside).order_by().distinct())


def marking(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Return a bulk action's `execute` that marks the products it was given."""

    @wraps(execute)
    def run(self: Any, request: Any, objects: Any, *args: Any, **kwargs: Any) -> Any:
        pks = list(objects.values_list("pk", flat=True))
        done = execute(self, request, objects, *args, **kwargs)
        mark(get_model("catalogue", "Product").objects.filter(pk__in=pks))
        return done

    run.marks = True  # type: ignore[attr-defined]
    return run
