"""One source for each shape."""

from mmsearch_app import ImageSource, register


@register("shapes.Poster")
class Posters(ImageSource):
    image = "picture"
    title = "name"
    filters = {"tag": "tags.name", "price": "price"}
    depends_on = {"shapes.Tag": "posters"}


@register("shapes.Garment")
class Garments(ImageSource):
    image = "photo.file"
    title = "name"
    depends_on = {"shapes.Media": "garments"}


@register("shapes.Attachment")
class Attachments(ImageSource):
    image = "upload"
    product = "garment"
