"""What a source may say beside its paths, and what happens if the shop's code raises."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.test import RequestFactory

from mmsearch_app import ImageSource, search
from mmsearch_app.searching import Query
from mmsearch_app.sources import registry
from mmsearch_app.testing import registered
from tests.shapes.models import Attachment, Garment, Poster
from tests.shop import Catalogue
from tests.shop_kit import titles

SOURCE = "example_shop.mmsearch.ProductImages"


class Pictures(ImageSource):
    image = "picture"
    title = "name"


def test_the_address_of_a_product_is_what_its_class_offers() -> None:
    source = Pictures(Poster)

    class Address:
        def __init__(self, url: object) -> None:
            self.url = url

    class Page(Address):
        def get_absolute_url(self) -> object:
            return self.url

    offered: list[Any] = [Page("/a/"), Page(None), Address("/b/"), Address(lambda: "/c/"), Poster()]
    assert [source.get_url(product) for product in offered] == ["/a/", "", "/b/", "/c/", ""]


def test_pictures_and_addresses_of_hits_are_those_that_the_source_names(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SOURCE}.get_url", lambda _, product: f"/p/{product.sku}/")
    monkeypatch.setattr(f"{SOURCE}.get_image_url", lambda _, row: f"/small/{row.pk}.webp")
    monkeypatch.setattr(f"{SOURCE}.get_image_srcset", lambda _, row: f"/big/{row.pk}.webp 2x")
    hit = search("red mug").hits[0]
    assert hit.url == f"/p/{shop['red mug'].sku}/"
    assert hit.image_url == f"/small/{hit.image.pk}.webp"
    assert hit.image_srcset == f"/big/{hit.image.pk}.webp 2x"


def by_request(_: Any, rows: Any, user: Any, request: Any = None) -> Any:
    return rows.filter(product__title=request.GET["only"]) if request else rows


def by_keywords(_: Any, rows: Any, user: Any, **others: Any) -> Any:
    return by_request(None, rows, user, others["request"])


@pytest.mark.parametrize("rule", [by_request, by_keywords])
def test_the_request_reaches_visible_to(
    rule: Callable[..., Any], shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SOURCE}.visible_to", rule)
    request = RequestFactory().get("/", {"only": "blue shirt"})
    assert titles(search("red mug", request=request)) == ["blue shirt"]
    assert len(search("red mug").hits) == 6


def by_user(_: Any, rows: Any, user: Any, strict: bool = False) -> Any:
    return rows.none() if strict else rows.filter(product__title=user)


def test_a_rule_of_two_arguments_works_as_before(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SOURCE}.visible_to", by_user)
    request = RequestFactory().get("/")
    assert titles(search("red mug", user="green mug", request=request)) == ["green mug"]


def test_a_pickled_query_has_no_request() -> None:
    query = Query(text="mug", limit=3, user="Ada", request=RequestFactory().get("/"))
    kept = pickle.loads(pickle.dumps(query))  # noqa: S301 - our own
    assert (kept.text, kept.limit, kept.user) == ("mug", 3, "Ada")
    assert kept.request is None


def test_a_model_may_have_several_paths_to_the_rows() -> None:
    class Shared(ImageSource):
        name = "shared"
        image = "upload"
        depends_on: ClassVar = {"shapes.Garment": ["attachment", "photo.garments.attachment"]}

    with registered(Shared(Attachment)) as source:
        watched = [one for one in registry.watching(Garment) if one.source is source]
    assert {one.lookup for one in watched} == {"garment", "garment__photo__garments"}
