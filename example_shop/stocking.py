"""Fill the shop with the drawn catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.text import slugify

from example_shop.catalogue import VIEWS, Item, draw_leopard
from example_shop.drawing import SIZE, Task, encode, file_name, tasks_of
from example_shop.models import Category, Product, ProductImage

__all__ = ["missing_images", "pin_inspiration", "save_image", "stock"]

GIFT = 20
"""Products below this price are listed in the gifts category too."""


def missing_images(chosen: Sequence[Item]) -> list[Task]:
    """The images that are not in the storage yet."""
    return [task for task in tasks_of(chosen) if not default_storage.exists(file_name(*task))]


def save_image(task: Task, data: bytes) -> str:
    """Store the image unless it is stored already; returns its name."""
    name = file_name(*task)
    if default_storage.exists(name):
        return name
    return default_storage.save(name, ContentFile(data))


@transaction.atomic
def stock(chosen: Sequence[Item]) -> int:
    """Create the products that are missing, in bulk; returns how many were created.

    Existing products are left as they are, since someone may have edited them.
    """
    known = set(Product.objects.values_list("sku", flat=True))
    fresh = [item for item in chosen if item.sku not in known]
    products = Product.objects.bulk_create(_product(item) for item in fresh)
    _shelve({product: _shelves(item) for item, product in zip(fresh, products, strict=True)})
    ProductImage.objects.bulk_create(
        ProductImage(product=product, original=file_name(product.sku, view), position=view)
        for product in products
        for view in range(VIEWS)
    )
    return len(products)


def _product(item: Item) -> Product:
    return Product(
        sku=item.sku,
        title=item.title,
        slug=slugify(f"{item.title} {item.sku}"),
        description=item.description,
        price=item.price,
        stock=item.stock,
        kind=item.kind,
        colour=item.colour,
        accent=item.accent or "",
        pattern=item.pattern,
    )


def _shelves(item: Item) -> list[str]:
    if item.price < GIFT:
        return [item.category, f"Gifts under £{GIFT}"]
    return [item.category]


def _shelve(places: dict[Product, list[str]]) -> None:
    names = dict.fromkeys(name for shelves in places.values() for name in shelves)
    keys = {name: _shelf(name).pk for name in names}
    links: Any = Product.categories.through
    links.objects.bulk_create(
        links(product_id=product.pk, category_id=keys[name])
        for product, shelves in places.items()
        for name in shelves
    )


def _shelf(name: str) -> Category:
    last = {"Gifts": 100, "Inspiration": 101}.get(name.split()[0])
    position = Category.objects.count() if last is None else last
    defaults = {"name": name, "position": position}
    return Category.objects.get_or_create(slug=slugify(name), defaults=defaults)[0]


@transaction.atomic
def pin_inspiration() -> bool:
    """Put a picture of a leopard on the inspiration board; returns whether it is new."""
    sku, title = "INS-001", "Leopard at rest"
    product, created = Product.objects.get_or_create(
        sku=sku,
        defaults={
            "title": title,
            "slug": slugify(title),
            "description": "Start a search from this picture: try “a phone case with this”.",
        },
    )
    if created:
        name = save_image((sku, 0), encode(draw_leopard(SIZE)))
        _shelve({product: ["Inspiration"]})
        ProductImage.objects.bulk_create([ProductImage(product=product, original=name)])
    return created
