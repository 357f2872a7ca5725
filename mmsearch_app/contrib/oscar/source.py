"""The images of a django-oscar shop's products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import Model, Q, QuerySet

from mmsearch_app.sources import Filter, ImageSource


def _can_be_bought(row: Any) -> bool:
    """Return what the shop's strategy for visitors without an account says of the product."""
    from oscar.core.loading import get_class

    product = row.product
    strategy = get_class("partner.strategy", "Selector")().strategy()
    fetch = strategy.fetch_for_parent if product.is_parent else strategy.fetch_for_product
    return bool(fetch(product).availability.is_available_to_buy)


class OscarImages(ImageSource):
    """Images of stand-alone products, of parents and of their variants, if they are public.

    A variant has its parent's title, categories and product type; a parent has the prices of its
    variants. A shop may subclass this and register it for its `catalogue.ProductImage`.
    """

    image = "original"
    product = "product"
    title = "product.title"
    filters: ClassVar[Mapping[str, Any]] = {
        "category": Filter(
            ["product.categories", "product.parent.categories"],
            ancestors="get_ancestors",
            limit_choices_to=Q(is_public=True, ancestors_are_public=True),
        ),
        "product_type": ["product.product_class", "product.parent.product_class"],
        "price": ["product.stockrecords.price", "product.children.stockrecords.price"],
        "in_stock": Filter(using=_can_be_bought, type=bool),
    }
    depends_on: ClassVar[Mapping[str, str | Sequence[str]]] = {
        "catalogue.Product": ["children.images", "parent.images"],
        "catalogue.ProductClass": ["products.images", "products.children.images"],
        "partner.StockRecord": ["product.images", "product.parent.images"],
    }
    """What titles and `in_stock` read; the filters' own paths are watched anyway."""
    thumbnail: ClassVar[Mapping[str, Any]] = {"size": "400x400", "upscale": False}
    """Options of `oscar_thumbnail` for the pictures of the results."""

    def get_queryset(self) -> QuerySet[Any]:
        """Return the images of products whose page anyone may see."""
        parent = Q(product__parent=None) | Q(product__parent__is_public=True)
        rows = super().get_queryset().filter(parent, product__is_public=True)
        return rows.select_related("product__parent__product_class")

    def get_title(self, row: Any) -> str:
        """Return the product's title, or its parent's, as the shop shows it."""
        return str(row.product.get_title() or "").strip()

    def get_image_url(self, row: Any) -> str:
        """Return a thumbnail's address, by the library that `OSCAR_THUMBNAILER` names."""
        from oscar.core.thumbnails import get_thumbnailer

        return str(get_thumbnailer().generate_thumbnail(row.original, **self.thumbnail).url)

    def get_stand_in(self, product: Any) -> Model | None:
        """Return a variant's parent, or the first public variant of a parent that has images."""
        if product.is_child:
            return product.parent  # type: ignore[no-any-return]
        children = product.children.filter(is_public=True, images__isnull=False)
        return children.order_by("pk").first()  # type: ignore[no-any-return]
