"""Helpers for tests of the search page."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

from example_shop.models import Product

from .conftest import draw

SEARCH = "/find/"
Shop = dict[str, Product]


def upload(data: bytes = b"", name: str = "picture.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data or draw("blue"), content_type="image/png")


def titles(response: Any) -> list[str]:
    return [hit.title for hit in response.context["answer"].hits]


def token_of(response: Any) -> str:
    return str(response.context["form"].value("query"))
