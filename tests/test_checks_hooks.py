"""System checks of what a source returns, of addresses, and of the URLs of the project."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path, re_path

from example_shop.models import Product, ProductImage
from mmsearch_app import ImageSource, checks, search
from mmsearch_app.api.views import SearchAPIView
from mmsearch_app.storefront import SearchView
from mmsearch_app.testing import registered
from tests.shapes.models import FramedPoster, Offer, Poster
from tests.shop import Catalogue, work
from tests.shop_kit import titles
from tests.test_checks import ids, of_source

Rows = Callable[[Any], Any]


def rows_of_posters(get: Rows) -> type[ImageSource]:
    return type(
        "Named", (ImageSource,), {"name": "checked", "image": "picture", "get_queryset": get}
    )


@pytest.mark.parametrize(
    ("get", "wrong"),
    [
        (lambda _: Poster.objects.values("name"), "values"),
        (lambda _: Poster.objects.values_list("pk", flat=True), "values"),
        (lambda _: Poster.objects.dates("released", "day"), "values"),
        (lambda _: Poster.objects.all()[:10], "slice"),
        (lambda _: Poster.objects.all().union(Poster.objects.all()), r"union\(\)"),
        (lambda _: Poster.objects.all().difference(Poster.objects.all()), r"difference\(\)"),
        (lambda _: Poster.objects, "manager"),
        (lambda _: [], "list"),
        (lambda _: None, "NoneType"),
        (lambda _: Poster.objects.raw("SELECT * FROM shapes_poster"), "RawQuerySet"),
        (lambda _: Product.objects.all(), "of example_shop.Product, not of shapes.Poster"),
        (lambda source: source.nothing, "raises AttributeError"),
    ],
)
def test_e022_rows_that_cannot_be_indexed(get: Rows, wrong: str) -> None:
    with registered(rows_of_posters(get)(Poster)):
        [found] = [one for one in checks.check_sources(None) if one.id == "mmsearch_app.E022"]
    assert found.hint
    assert re.search(wrong, str(found.msg)), found.msg


@pytest.mark.parametrize(
    "get",
    [
        lambda _: Poster.objects.filter(signed=True) | Poster.objects.filter(copies=1),
        lambda _: Poster.objects.only("name").distinct(),
        lambda _: FramedPoster.objects.order_by("name"),
        lambda _: Poster.objects.none(),
    ],
)
def test_e022_is_not_reported_for_other_querysets(get: Rows) -> None:
    with registered(rows_of_posters(get)(Poster)):
        assert not [one for one in checks.check_sources(None) if one.id == "mmsearch_app.E022"]


@pytest.mark.parametrize(
    ("narrow", "found"),
    [
        (lambda self, rows, user: rows, []),
        (lambda self, rows, user, request=None: rows, []),
        (lambda self, rows, user, *, request: rows, []),
        (lambda self, rows, user, **others: rows, []),
        (lambda self, rows, user, strict=False: rows, []),
        (lambda self, rows: rows, ["E023"]),
        (lambda self, rows, user, visitor: rows, ["E023"]),
    ],
)
def test_e023_a_rule_that_cannot_be_called(narrow: Any, found: list[str]) -> None:
    assert ids(of_source(Poster, image="picture", visible_to=narrow)) == found


def test_w022_products_without_an_address() -> None:
    assert ids(of_source(Offer, image="poster.picture")) == ["W022"]
    own = {"image": "poster.picture", "get_url": lambda self, product: ""}
    assert ids(of_source(Offer, **own)) == []


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class Find(SearchView):
    """A shop's own version of the search page."""


OURS = include("mmsearch_app.urls")
API = include("mmsearch_app.api.urls")


class Urls:
    """A URL configuration made of these patterns."""

    def __init__(self, *patterns: Any) -> None:
        self.urlpatterns = list(patterns)


EXACTLY = "^search/$"
"""As an older shop may write it."""


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        (Urls(path("find-similar/", OURS), path("search/", page)), 0),
        (Urls(path("search/", page), path("search/", OURS)), 1),
        (Urls(path("search/", OURS), path("search/", page)), 1),
        (Urls(path("search/", OURS), re_path(EXACTLY, page)), 1),
        (Urls(path("search/", OURS), path("<path:page>", page)), 0),
        (Urls(path("find/", login_required(Find.as_view())), path("find/", OURS)), 0),
        (Urls(path("v1/search/", SearchAPIView.as_view()), path("", API)), 0),
        (Urls(re_path("^", page), path("find-similar/", OURS), path("api/", API)), 2),
        (Urls(path("api/", API), re_path("^", page, name="all")), 0),
        (Urls(path("v1/search/", page), path("", API)), 1),
        (Urls(*i18n_patterns(path("find-similar/", OURS))), 0),
        (Urls(*i18n_patterns(path("s/", page), path("s/", OURS))), 1),
        (Urls(path("about/", page)), 0),
        (Urls(path("a/", OURS), path("b/", OURS)), 0),
    ],
)
def test_w023_another_view_at_the_address_of_the_search(urls: Urls, found: int) -> None:
    with override_settings(ROOT_URLCONF=urls):
        messages = checks.check_urls(None)
    assert ids(messages) == ["W023"] * found
    assert all("answers there" in str(one.msg) for one in messages)


@pytest.mark.parametrize(
    "get",
    [
        lambda _: ProductImage.objects.only("position"),
        lambda _: ProductImage.objects.only("original", "product__title"),
        lambda _: ProductImage.objects.defer("product", "original"),
        lambda _: ProductImage.objects.defer("product__description", "product__title"),
    ],
)
@pytest.mark.django_db
def test_rows_with_some_columns_are_indexed_and_found(
    get: Rows, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("example_shop.mmsearch.ProductImages.get_queryset", get)
    for product in shop.values():
        product.save()
    work()
    assert titles(search("red mug"))[0] == "red mug"
    assert titles(search("shirt", like=shop["red mug"].pk))[0] == "red shirt"
