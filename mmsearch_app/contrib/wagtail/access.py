"""Which pages and images of a Wagtail site a visitor may see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from mmsearch_app.inference import needing

with needing("wagtail"):
    from wagtail.models import CollectionViewRestriction, Locale, PageViewRestriction, Site


def closed_to(user: Any, request: Any) -> tuple[list[str], list[str]]:
    """Return the tree paths of pages and of collections that this visitor may not enter.

    Asks Wagtail's own restrictions: by password, by login, by group.
    """
    visitor = SimpleNamespace(
        user=user or AnonymousUser(), session=getattr(request, "session", None) or {}
    )
    pages = PageViewRestriction.objects.select_related("page")
    collections = CollectionViewRestriction.objects.select_related("collection")
    return (
        [found.page.path for found in _refusing(pages, visitor)],
        [found.collection.path for found in _refusing(collections, visitor)],
    )


def _refusing(restrictions: Iterable[Any], visitor: Any) -> Iterator[Any]:
    return (found for found in restrictions if not found.accept_request(visitor))


def below(lookup: str, paths: Iterable[str]) -> Q:
    """Return the condition that the tree node at `lookup` is one of `paths` or below one."""
    condition = Q(pk__in=[])
    for path in paths:
        condition |= Q(**{f"{lookup}path__startswith": path})
    return condition


def site_roots(request: Any) -> list[str]:
    """Return the tree paths of the root pages of the request's site, one per language."""
    site = Site.find_for_request(request)
    if site is None:
        return []
    return list(site.root_page.get_translations(inclusive=True).values_list("path", flat=True))


def active_locale() -> Any:
    """Return the visitor's locale, or None if the site has one language."""
    return Locale.get_active() if getattr(settings, "WAGTAIL_I18N_ENABLED", False) else None
