"""A shop with a few indexed products, and users with different permissions."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from PIL import Image

from example_shop.models import Category, Product, ProductImage
from mmsearch_app.models import Entry
from mmsearch_app.testing import index_everything

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

LEDGER = "/admin/mmsearch_app/entry/"
PRODUCTS = "/admin/example_shop/product/"


def draw(number: int) -> bytes:
    buffer = BytesIO()
    colour = (number * 53 % 256, number * 97 % 256, number * 29 % 256)
    Image.new("RGB", (48, 48), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def sell(db: None) -> Callable[..., Product]:
    """Create a product with some images."""

    def make(title: str, *, views: int = 1) -> Product:
        number = Product.objects.count()
        product = Product.objects.create(
            sku=f"T-{number}", slug=f"t-{number}", title=title, price=10 + number
        )
        shelf, _ = Category.objects.get_or_create(name="Mugs", slug="mugs")
        product.categories.add(shelf)
        for view in range(views):
            image = ProductImage(product=product, position=view)
            image.original.save(f"t-{number}-{view}.png", ContentFile(draw(10 * number + view)))
        return product

    return make


@pytest.fixture
def shop(sell: Callable[..., Product]) -> list[Product]:
    """Three products with two images each, all indexed."""
    products = [sell(f"mug number {number}", views=2) for number in range(3)]
    index_everything()
    return products


@pytest.fixture
def staff(db: None, client: Client) -> Callable[..., Client]:
    """Log in a staff user with only these permissions, such as "mmsearch_app.view_entry"."""

    def log_in(*permissions: str) -> Client:
        user = User.objects.create_user("staff", is_staff=True)
        for name in permissions:
            label, codename = name.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=label, codename=codename)
            )
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def boss(admin_client: Client) -> Client:
    """A superuser's client."""
    return admin_client


@pytest.fixture
def idle_shop(shop: list[Product], monkeypatch: pytest.MonkeyPatch) -> list[Product]:
    """The indexed shop; the test fails if anything embeds an image or writes to the index."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a request called the model or wrote to the index")

    monkeypatch.setattr("mmsearch_app.testing.TestingEmbedder.embed_documents", refuse)
    monkeypatch.setattr("mmsearch_app.indexes.memory.MemoryIndex.upsert", refuse)
    return shop


def entry_of(image: ProductImage) -> Entry:
    return Entry.objects.get(source="example_shop.productimage", object_pk=str(image.pk))


def entries_of(product: Product) -> list[Entry]:
    return [entry_of(image) for image in product.images.all()]


def messages_of(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def count_queries(work: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        work()
    return len(queries)


def change(entry: Entry, **values: Any) -> Entry:
    Entry.objects.filter(pk=entry.pk).update(**values)
    return Entry.objects.get(pk=entry.pk)


def address_of(entry: Entry) -> str:
    return f"{LEDGER}{entry.pk}/change/"
