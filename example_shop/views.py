"""The shop's own pages; the search page comes from `mmsearch_app.urls`."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from example_shop.models import Category, Product
from mmsearch_app.query import Hit, InvalidQuery, SearchUnavailable

PER_PAGE = 24
SIMILAR = 6


def departments(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the shelves, for the navigation of every page."""
    return {"departments": Category.objects.all()}


@transaction.non_atomic_requests
def home(request: HttpRequest) -> HttpResponse:
    """The search box, the shelves and what there is plenty of."""
    featured = Product.objects.for_sale().order_by("-stock", "pk").prefetch_related("images")
    return render(request, "example_shop/home.html", {"products": featured[:12]})


@transaction.non_atomic_requests
def category(request: HttpRequest, slug: str) -> HttpResponse:
    """One shelf, page by page."""
    shelf = get_object_or_404(Category, slug=slug)
    products = shelf.products.all() & Product.objects.public()
    pages = Paginator(products.prefetch_related("images"), PER_PAGE)
    page = pages.get_page(request.GET.get("page"))
    return render(request, "example_shop/category.html", {"category": shelf, "page": page})


@transaction.non_atomic_requests
def product(request: HttpRequest, slug: str) -> HttpResponse:
    """One product with its views, and what resembles it."""
    shown = get_object_or_404(Product.objects.public().prefetch_related("images"), slug=slug)
    context = {"product": shown, "similar": _similar(shown)}
    return render(request, "example_shop/product.html", context)


def _similar(product: Product) -> tuple[Hit, ...]:
    """Products that look like it; none while the search is away: the page must not fail."""
    from mmsearch_app import search

    try:
        return tuple(search(like=product, limit=SIMILAR, rerank=False).hits)
    except (InvalidQuery, SearchUnavailable):
        return ()
