"""The picture that a question starts from, as the search page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.urls import reverse

from mmsearch_app.registry import registry

if TYPE_CHECKING:
    from django.db.models import Model

    from mmsearch_app.forms import SearchForm
    from mmsearch_app.query import Query

__all__ = ["Reference", "refer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A product's picture, or one that the visitor brought."""

    image_url: str
    title: str = ""
    """The product's; "" for the visitor's own picture."""
    url: str = ""
    without_url: str
    """Address of the same question without it."""


def refer(form: SearchForm, query: Query | None) -> Reference | None:
    """What the page shows beside the words; None for a question of words alone.

    `query` is None where the form could not be understood: a picture kept earlier stays.
    """
    without = form.link({"like": None, "query": None})
    if token := form.value("query"):
        address = reverse("mmsearch:picture", args=[token])
        return Reference(image_url=address, without_url=without)
    return _portray(query.like, without) if query and query.like is not None else None


def _portray(product: Model, without: str) -> Reference:
    """The product's first picture in the order of its source; at most one query a source."""
    address = getattr(product, "get_absolute_url", None)
    url = address() if address else ""
    for source, rows in registry.showing(product):
        row = rows.first()
        file = source.get_file(row) if row is not None else None
        if row is not None and file is not None:
            title = source.get_title(row) or str(product)
            return Reference(image_url=file.url, title=title, url=url, without_url=without)
    return Reference(image_url="", title=str(product), url=url, without_url=without)
