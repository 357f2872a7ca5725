"""How many statements a search sends to the database: always the same, and each thing once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from example_shop.models import Category, ProductImage
from mmsearch_app import ImageSource, search
from mmsearch_app.testing import index_everything, registered
from tests.shop import Catalogue, add_picture, picture
from tests.shop_kit import work_again

pytestmark = pytest.mark.django_db

PAGE_ONLY = 2
"""The values of two filters: categories, and tags of posters."""
CASES = [
    ("words", 1),  # the hits
    ("picture + words", 1),
    ("product", 3),  # the product and its pictures, what the ledger knows of them, the hits
    ("product + words", 3),
]


@pytest.fixture
def products(shop: Catalogue, client: Client) -> Catalogue:
    """A shop that was searched before, so that what is read once a minute is known."""
    shelf = Category.objects.create(name="Mugs", slug="mugs")
    for title in shop:
        if "mug" in title:
            shop[title].categories.add(shelf)
    add_picture(shop["red mug"], "red", side=99)
    work_again()
    client.get(reverse("mmsearch:search"), {"text": "mug"})
    return shop


def ask(client: Client, kind: str, product: Any, place: str, filters: dict[str, Any]) -> Any:
    question = dict(filters)
    if "words" in kind:
        question["text"] = "mug"
    if "product" in kind:
        question["like"] = str(product.pk)
    address = reverse("mmsearch:search" if place == "page" else "mmsearch_api:search")
    if "picture" in kind:
        question["image"] = SimpleUploadedFile("a.png", picture("blue"), "image/png")
    elif place == "page":
        return client.get(address, question)
    return client.post(address, question)


@pytest.mark.parametrize("place", ["page", "API"])
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize(("kind", "count"), CASES)
def test_a_search_loads_each_thing_once(
    client: Client, products: Catalogue, place: str, kind: str, count: int, filtered: bool
) -> None:
    shelf = Category.objects.get()
    filters = {"category": str(shelf.pk), "price__lte": "20"} if filtered else {}
    prefetches = int(filtered)  # the categories of the hits
    with CaptureQueriesContext(connection) as sent:
        response = ask(client, kind, products["red mug"], place, filters)
    assert response.status_code == 200
    wanted = count + prefetches + PAGE_ONLY * (place == "page")
    assert len(sent) == wanted, [one["sql"][-300:] for one in sent]


@pytest.fixture
def shelved(products: Catalogue) -> Iterator[Catalogue]:
    """Another source with a filter through a relation that nothing else needs."""

    class Shelved(ImageSource):
        name = "shelved"
        image = "original"
        product = "product"
        filters = {"shelf": "product.categories.name"}  # noqa: RUF012

    with registered(Shelved(ProductImage)):
        index_everything()
        yield products


def test_a_filter_that_is_not_asked_for_loads_nothing(shelved: Catalogue) -> None:
    search("mug")
    with CaptureQueriesContext(connection) as plain:
        search("mug")
    with CaptureQueriesContext(connection) as filtered:
        search("mug", filters={"shelf": "Mugs"})
    assert len(filtered) - len(plain) == 1
    assert not any("example_shop_category" in one["sql"] for one in plain)


def test_only_what_is_shown_is_read_of_the_shop(
    products: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    plain = ImageSource.get_image_url

    def note(source: ImageSource, row: Any) -> str:
        shown.append(row)
        return plain(source, row)

    monkeypatch.setattr(ImageSource, "get_image_url", note)
    found = search("mug", limit=2, offset=1)
    assert [hit.image for hit in found.hits] == shown
    assert len(shown) == 2
    assert found.more
