"""What visitors can search: the images of public products."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet

from example_shop.models import ProductImage
from mmsearch_app import ImageSource, register


@register("example_shop.ProductImage")
class ProductImages(ImageSource):
    image = "original"
    product = "product"
    title = "product.title"
    filters: ClassVar = {"category": "product.categories", "price": "product.price"}
    depends_on: ClassVar = {"example_shop.Product": "images"}

    def get_queryset(self) -> QuerySet[ProductImage]:
        return ProductImage.objects.filter(product__is_public=True)
