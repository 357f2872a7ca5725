"""What may be searched; the snippets register further sources of the same models."""

from typing import ClassVar

from mmsearch_app import ImageSource, register


@register("catalogue.ProductImage")
class ProductImages(ImageSource):
    """Under a name of its own, so that a snippet's source may have the usual one."""

    name = "pictures"
    image = "original"
    product = "product"
    title = "product.title"
    filters: ClassVar = {"category": "product.categories", "price": "product.price"}
