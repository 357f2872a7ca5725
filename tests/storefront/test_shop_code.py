"""What the shop's own code raises costs a link, a picture or a hit, never the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.urls import NoReverseMatch

from example_shop.models import Category, Product, ProductImage
from mmsearch_app import ImageSource, search
from mmsearch_app.models import Entry
from mmsearch_app.searching import tickets
from mmsearch_app.sources import display
from mmsearch_app.testing import registered
from tests.searching.test_rerank import Backwards
from tests.searching.test_rerank import reranker as reranker
from tests.shapes.models import Poster
from tests.shop import Catalogue
from tests.storefront.asking import SEARCH

pytestmark = pytest.mark.django_db

SOURCE = "example_shop.mmsearch.ProductImages"
HOOKS: dict[str, tuple[str, Exception]] = {
    "an address that cannot be reversed": (
        "example_shop.models.Product.get_absolute_url",
        NoReverseMatch("no slug"),
    ),
    "a faulty get_url": (f"{SOURCE}.get_url", AttributeError("no attribute 'shop'")),
    "a faulty get_title": (f"{SOURCE}.get_title", ValueError("no words")),
    "a faulty get_image_url": (f"{SOURCE}.get_image_url", KeyError("small")),
    "a faulty srcset": (f"{SOURCE}.get_image_srcset", TypeError("no sizes")),
    "a storage without addresses": (
        "django.core.files.storage.default_storage.url",
        NotImplementedError("no address"),
    ),
    "a faulty name of a category": (
        "example_shop.models.Category.__str__",
        AttributeError("no translation"),
    ),
    "a faulty name": ("example_shop.models.Product.__str__", RecursionError("too deep")),
}
HIDING: dict[str, tuple[str, Exception]] = {
    "a faulty visible_to": (f"{SOURCE}.visible_to", LookupError("no channel")),
    "a faulty get_queryset": (f"{SOURCE}.get_queryset", AttributeError("no manager")),
    "a faulty get_product": (f"{SOURCE}.get_product", ValueError("no product")),
    "a faulty get_file": (f"{SOURCE}.get_file", ValueError("no file")),
}


def fail(monkeypatch: pytest.MonkeyPatch, target: str, error: Exception) -> None:
    def raises(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(target, raises)


def everywhere(client: Client, product: Product) -> Iterator[Any]:
    """The pages and endpoints that show the product; each must answer."""
    yield client.get(SEARCH, {"text": "red mug"})
    yield client.get(SEARCH, {"like": str(product.pk)})
    yield client.get(SEARCH, {"like": str(product.pk), "text": "in blue"})
    yield client.get(SEARCH, {"text": "red mug", "category": "1", "price__lte": "20"})
    asked = {"text": "red mug", "rerank": True}
    found = client.post("/api/mmsearch/v1/search/", asked, content_type="application/json")
    yield found
    yield client.get(f"/api/mmsearch/v1/search/{found.json()['id']}/rerank/")


@pytest.mark.parametrize("name", HOOKS)
def test_a_fault_at_display_costs_a_value_and_not_the_answer(
    name: str, client: Client, shop: Catalogue, reranker: Backwards, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop["red mug"].categories.add(Category.objects.create(name="Red", slug="red-1"))
    fail(monkeypatch, *HOOKS[name])
    assert len(search("red mug").hits) == 12
    assert len(search(like=shop["red mug"]).hits) == 11
    late = tickets.rerank_late(tickets.issue(search("red mug", rerank=False)))
    assert late.ranked_by == "reranker"
    assert [answer.status_code for answer in everywhere(client, shop["red mug"])] == [200] * 6


@pytest.mark.parametrize("name", HIDING)
def test_a_source_that_cannot_say_what_may_be_shown_shows_nothing(
    name: str, client: Client, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tickets.issue(search("red mug", rerank=False))
    fail(monkeypatch, *HIDING[name])
    assert search("red mug").hits == ()
    assert tickets.rerank_late(token).hits == ()
    like = 200 if "get_product" in HIDING[name][0] else 404
    seen = [answer.status_code for answer in everywhere(client, shop["red mug"])]
    assert seen == [200, like, like, 200, 200, 200]


def returns(value: object) -> Callable[..., Any]:
    return lambda *_, **__: value


@pytest.mark.parametrize("value", [None, [], "all", ProductImage.objects])
def test_a_rule_that_returns_no_queryset_hides_everything(
    value: object, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SOURCE}.visible_to", returns(value))
    assert search("red mug").hits == ()


def test_what_a_hit_lacks_is_empty(shop: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    for target, error in HOOKS.values():
        fail(monkeypatch, target, error)
    hit = search("red mug").hits[0]
    assert (hit.url, hit.image_url, hit.image_srcset, hit.title) == ("", "", "", "product")


@pytest.mark.parametrize("value", [None, ""])
def test_a_hook_that_returns_nothing_shows_nothing(
    value: object, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hook in ("get_url", "get_image_url", "get_image_srcset", "get_title"):
        monkeypatch.setattr(f"{SOURCE}.{hook}", returns(value))
    hit = search("red mug").hits[0]
    assert (hit.url, hit.image_url, hit.image_srcset) == ("", "", "")
    assert hit.title == str(hit.product)


def test_only_one_of_many_products_has_a_fault(
    client: Client, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    Product.objects.filter(pk=shop["red mug"].pk).update(slug="")
    links = {hit.title: hit.url for hit in search("red mug").hits}
    assert links.pop("red mug") == ""
    assert all(links.values())


def test_a_fault_is_logged_once_for_a_source_and_hook(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def logged() -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name == display.__name__ and record.levelno == logging.ERROR
        ]

    for hook in ("get_url", "get_image_url"):
        fail(monkeypatch, f"{SOURCE}.{hook}", ValueError("too bad"))
    for _ in range(3):
        search("red mug")
    assert len(logged()) == 2
    assert "get_url failed" in logged()[0]
    assert "ValueError: too bad" in caplog.text
    later = display.time.monotonic() + 601
    monkeypatch.setattr(display.time, "monotonic", lambda: later)
    search("red mug")
    assert len(logged()) == 4


@pytest.mark.parametrize("name", [*HOOKS, *HIDING])
def test_a_fault_costs_no_page_of_the_admin(
    name: str, client: Client, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(User.objects.create_superuser("boss"))
    entry = Entry.objects.get(object_pk=str(shop["red mug"].images.get().pk))
    fail(monkeypatch, *{**HOOKS, **HIDING}[name])
    pages = "/admin/mmsearch_app/entry/"
    inspected = {"text": "red mug", "compare": str(shop["red mug"].pk)}
    answers = [
        client.get(pages),
        client.get(f"{pages}{entry.pk}/change/"),
        client.post(f"{pages}inspect/", inspected),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]


@pytest.mark.parametrize("name", [*HOOKS, *HIDING])
def test_a_fault_costs_no_page_with_the_widget(
    name: str, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, *{**HOOKS, **HIDING}[name])
    page = Template("{% load mmsearch %}{% mmsearch_like product %}{{ product|mmsearch_like_url }}")
    context = Context({"product": shop["red mug"], "request": RequestFactory().get("/")})
    assert f"?like={shop['red mug'].pk}" in page.render(context)


class Shaded(ImageSource):
    name = "shaded"
    image = "picture"
    title = "shade"
    filters: ClassVar = {"shade": "shade"}


def test_a_property_that_fails_costs_what_reads_it(
    client: Client, gallery: list[Poster], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shade(_: Poster) -> str:
        raise AttributeError("no colour")

    monkeypatch.setattr(Poster, "shade", property(shade))
    page = Template("{% load mmsearch %}{% mmsearch_like product %}")
    with registered(Shaded(Poster)):
        html = page.render(Context({"product": gallery[0]}))
        assert "in black" in html
        found = client.get(SEARCH, {"like": str(gallery[0].pk), "text": "in blue"})
        assert found.status_code == 200


@pytest.mark.parametrize("value", ["http://[", "//[oops]/", "javascript:alert(1)", "\ud800", " "])
def test_a_hook_that_returns_no_address_costs_no_answer(
    value: str, client: Client, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hook in ("get_url", "get_image_url"):
        monkeypatch.setattr(f"{SOURCE}.{hook}", returns(value))
    assert [one.status_code for one in everywhere(client, shop["red mug"])] == [200] * 6
