"""The page types of a small shop."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from modelcluster.contrib.taggit import ClusterTaggableManager
from modelcluster.fields import ParentalKey
from taggit.models import TaggedItemBase
from wagtail.admin.panels import FieldPanel, InlinePanel
from wagtail.models import Orderable, Page


class ShelfPage(Page):  # type: ignore[misc]
    """A category: its products are its child pages."""


class ProductTag(TaggedItemBase):  # type: ignore[misc]
    content_object = ParentalKey(
        "shop.ProductPage", on_delete=models.CASCADE, related_name="tagged_items"
    )


class ProductPage(Page):  # type: ignore[misc]
    image = models.ForeignKey(
        "wagtailimages.Image", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    tags = ClusterTaggableManager(through=ProductTag, blank=True)

    content_panels: ClassVar[Any] = [
        *Page.content_panels,
        FieldPanel("image"),
        FieldPanel("price"),
        FieldPanel("tags"),
        InlinePanel("gallery", label="Gallery"),
    ]


class GalleryImage(Orderable):  # type: ignore[misc]
    page = ParentalKey(ProductPage, on_delete=models.CASCADE, related_name="gallery")
    image = models.ForeignKey("wagtailimages.Image", on_delete=models.CASCADE, related_name="+")

    panels: ClassVar[Any] = [FieldPanel("image")]
