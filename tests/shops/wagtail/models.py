"""The page types of a small shop."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from modelcluster.contrib.taggit import ClusterTaggableManager
from modelcluster.fields import ParentalKey
from taggit.models import TaggedItemBase
from wagtail.admin.panels import FieldPanel, InlinePanel
from wagtail.blocks import TextBlock
from wagtail.fields import StreamField
from wagtail.images.blocks import ImageChooserBlock
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
    body = StreamField([("image", ImageChooserBlock()), ("text", TextBlock())], blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    tags = ClusterTaggableManager(through=ProductTag, blank=True)

    @property
    def card_image(self) -> Any:
        """The first image of the body, else the page's own."""
        return next((b.value for b in self.body if b.block_type == "image"), self.image)

    # Without the body, whose form is drawn by JavaScript.
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
