"""The shop's own pages. The search page comes from `mmsearch_app.urls`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.core.cache import cache
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models.functions import MD5
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from example_shop.models import Category, Product, ProductQuerySet
from mmsearch_app.searching import Hit, InvalidQuery, SearchUnavailable

FEATURED = 10
PER_PAGE = 24
SIMILAR = 6
_NAVIGATION_SECONDS = 60


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the categories, for the navigation on every page.

    And what the templates ask for where a page says nothing else: the category that is shown, and
    the level of a card's title. Django looks for a variable that is missing several times as long.
    """
    return {"departments": _departments, "category": None, "heading": "h2"}


class Department(NamedTuple):
    """A category in the navigation."""

    pk: int
    name: str
    url: str


def _departments() -> list[Department]:
    """The categories as they were at most a minute ago: every page shows them."""
    try:
        return cache.get_or_set("departments", _read_departments, _NAVIGATION_SECONDS) or []
    except Exception:  # caches raise anything, and pages need none
        return _read_departments()


def _read_departments() -> list[Department]:
    shelves = Category.objects.all()
    return [Department(shelf.pk, shelf.name, shelf.get_absolute_url()) for shelf in shelves]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two products that show what a search with a picture and words finds."""

    start: Product
    words: str
    goal: Product

    @property
    def url(self) -> str:
        """The search that finds `goal` from `start`."""
        question = urlencode({"like": self.start.pk, "text": self.words})
        return f"{reverse('mmsearch:search')}?{question}"


@transaction.non_atomic_requests
def home(request: HttpRequest) -> HttpResponse:
    """The search box, the categories, and a few products, ordered so that kinds mix."""
    products = Product.objects.for_sale().prefetch_related("images")
    context = {
        "pair": _pair(products),
        "shelves": Category.objects.with_cover(),
        "products": products.filter(stock__gt=0).order_by(MD5("sku"))[:FEATURED],
    }
    return render(request, "example_shop/home.html", context)


def _pair(products: ProductQuerySet) -> Pair | None:
    """A blue striped mug and a red one, or None unless the shop sells both."""
    mugs = products.filter(kind="mug", pattern="striped", colour__in=("blue", "red"))
    found = {mug.colour: mug for mug in mugs if mug.cover}
    if len(found) < 2:
        return None
    return Pair(start=found["blue"], words="but in red", goal=found["red"])


@transaction.non_atomic_requests
def category(request: HttpRequest, slug: str) -> HttpResponse:
    """The products of one category, in pages."""
    shelf = get_object_or_404(Category, slug=slug)
    products = shelf.products.all() & Product.objects.public()
    pages = Paginator(products.prefetch_related("images"), PER_PAGE)
    page = pages.get_page(request.GET.get("page"))
    return render(request, "example_shop/category.html", {"category": shelf, "page": page})


@transaction.non_atomic_requests
def product(request: HttpRequest, slug: str) -> HttpResponse:
    """One product with its images and similar products."""
    shown = get_object_or_404(Product.objects.public().prefetch_related("images"), slug=slug)
    context = {"product": shown, "similar": _similar(shown)}
    return render(request, "example_shop/product.html", context)


@transaction.non_atomic_requests
def robots(request: HttpRequest) -> HttpResponse:
    """Keep robots away from the search: each question is a URL of its own and runs a model."""
    disallowed = [reverse("mmsearch:search"), reverse("admin:index"), "/api/"]
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in disallowed), ""]
    return HttpResponse("\n".join(lines), content_type="text/plain")


def _similar(product: Product) -> tuple[Hit, ...]:
    """Products that look similar; none if search is unavailable, so that the page still works."""
    from mmsearch_app import search

    try:
        return tuple(search(like=product, limit=SIMILAR, rerank=False).hits)
    except (InvalidQuery, SearchUnavailable):
        return ()
