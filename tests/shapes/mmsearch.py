"""A source for each kind of model."""

from __future__ import annotations

from typing import ClassVar

from mmsearch_app import ImageSource, register


@register("shapes.Poster")
class Posters(ImageSource):
    image = "picture"
    title = "name"
    filters: ClassVar = {"tag": "tags.name", "price": "price"}
    depends_on: ClassVar = {"shapes.Tag": "posters"}


@register("shapes.Garment")
class Garments(ImageSource):
    image = "photo.file"
    title = "name"
    depends_on: ClassVar = {"shapes.Media": "garments"}


@register("shapes.Attachment")
class Attachments(ImageSource):
    image = "upload"
    product = "garment"
