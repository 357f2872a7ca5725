"""A small shop behind the API, with a real search and an index in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image
from rest_framework.test import APIClient

from example_shop.models import Category, Product, ProductImage
from mmsearch_app.testing import index_everything
from tests.pictures import encode

COLOURS = {"red": (200, 20, 20), "green": (20, 160, 40), "blue": (20, 40, 200)}
KINDS = ("mug", "shirt", "lamp")

Ask = Callable[..., Any]


def plain(colour: str, *, side: int = 32) -> bytes:
    return encode(Image.new("RGB", (side, side), COLOURS[colour]))


def upload(data: bytes, name: str = "a.jpg") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, content_type="image/jpeg")


@pytest.fixture
def fill(db: None, settings: Any, tmp_path: Path) -> Callable[[], dict[str, Product]]:
    """Create and index nine products: three kinds in three colours, priced 10 to 18."""

    def make() -> dict[str, Product]:
        settings.MEDIA_ROOT = tmp_path
        products: dict[str, Product] = {}
        for kind in KINDS:
            category = Category.objects.create(name=kind, slug=kind)
            for colour in COLOURS:
                products[f"{colour} {kind}"] = sell(colour, kind, category, 10 + len(products))
        index_everything()
        return products

    return make


def sell(colour: str, kind: str, category: Category, price: int) -> Product:
    slug = f"{colour}-{kind}"
    product = Product.objects.create(sku=slug, slug=slug, title=f"{colour} {kind}", price=price)
    product.categories.add(category)
    image = ProductImage(product=product)
    image.original.save(f"{slug}.png", ContentFile(plain(colour, side=20 + price)))
    return product


@pytest.fixture
def catalogue(fill: Callable[[], dict[str, Product]]) -> dict[str, Product]:
    return fill()


@pytest.fixture
def api() -> APIClient:
    return APIClient()


@pytest.fixture
def ask(api: APIClient) -> Ask:
    """POST a question: `ask(text="red mug")` as JSON, `ask(form=True, image=...)` as a form."""

    def post(*, form: bool = False, **question: Any) -> Any:
        kind = "multipart" if form else "json"
        return api.post(reverse("mmsearch_api:search"), question, format=kind)

    return post


def titles(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [result["title"] for result in response.json()["results"]]


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem document of a response, after checking its fields."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] == "about:blank"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["instance"].startswith("/api/mmsearch/v1/")
    return document
