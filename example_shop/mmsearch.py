"""What the shop lets its visitors search: the pictures of its public products."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet

from example_shop.models import ProductImage
from mmsearch_app import ImageSource, register


@register("example_shop.ProductImage")
class ProductImages(ImageSource):
    """Every picture of a public product, with the product's title."""

    image = "original"
    product = "product"
    title = "product.title"
    filters: ClassVar = {"category": "product.categories", "price": "product.price"}
    depends_on: ClassVar = {"example_shop.Product": "images"}

    def get_queryset(self) -> QuerySet[ProductImage]:
        """Pictures of products that the shop shows."""
        return ProductImage.objects.filter(product__is_public=True)
