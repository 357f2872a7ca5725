"""The images of a Wagtail site's pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.utils.functional import cached_property

from mmsearch_app.sources import ImageSource, paths, register


class PageImages(ImageSource):
    """Images of live pages that the visitor may see, on the request's site and in its language.

    `image` is the path of the Wagtail image, such as `"image"`, or a property that returns one,
    such as the first of a StreamField. Without `product`, the model is the page; for a gallery
    the model is the row of the gallery, and `product` its page. Private collections count only
    if the path is one of fields.
    """

    title: str | None = None
    """Path of the words that describe the product. Default: the page's title."""
    renditions: ClassVar[tuple[str, ...]] = ("fill-400x400", "fill-800x800")
    """Filter specifications of the pictures of the results, the smallest first."""
    this_site_only: ClassVar[bool] = True
    """Whether a search on one site leaves out the pages of the others."""
    this_locale_only: ClassVar[bool] = True
    """Whether a search leaves out pages in other languages, if WAGTAIL_I18N_ENABLED is set."""

    def __init__(self, model: type[Model]) -> None:
        self.picture = self.image
        """Path of the Wagtail image."""
        field = paths.resolve(model, self.image).field
        if field is None or field.is_relation:
            self.image = f"{self.picture}.file"
        self.title = self.title or (f"{self.product}.title" if self.product else "title")
        super().__init__(model)

    @cached_property
    def page_lookup(self) -> str:
        """The prefix of a lookup from a row to a field of its page."""
        return f"{self.paths['@product'].lookup}__" if self.product else ""

    @cached_property
    def picture_lookup(self) -> str:
        """The lookup from a row to its Wagtail image, or "" if a property is part of the path."""
        return paths.resolve(self.model, self.picture).lookup or ""

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows of live pages, with the renditions that their images have."""
        rows = super().get_queryset().filter(**{f"{self.page_lookup}live": True})
        lookup = self.picture_lookup
        return rows.prefetch_related(f"{lookup}__renditions") if lookup else rows

    def visible_to(self, queryset: QuerySet[Any], user: Any, request: Any = None) -> QuerySet[Any]:
        """Leave out what Wagtail's privacy settings keep from this visitor, and other sites."""
        from mmsearch_app.contrib.wagtail import access

        page = self.page_lookup
        pages, collections = access.closed_to(user, request)
        rows = queryset.exclude(access.below(page, pages))
        if self.picture_lookup:
            place = f"{self.picture_lookup}__collection__"
            rows = rows.exclude(access.below(place, collections))
        if request is None:
            return rows
        if self.this_site_only:
            rows = rows.filter(access.below(page, access.site_roots(request)))
        locale = access.active_locale() if self.this_locale_only else None
        return rows.filter(**{f"{page}locale": locale}) if locale else rows

    def get_url(self, product: Any) -> str:
        """Return the page's address: with the host if the project has several sites."""
        return product.get_url() or ""

    def get_image_url(self, row: Model) -> str:
        """Return the address of the smallest rendition."""
        found = self._renditions(row)
        return str(found[0].url) if found else ""

    def get_image_srcset(self, row: Model) -> str:
        """Return the renditions with the density that each has, since no image is enlarged."""
        found = self._renditions(row)
        larger = [one for one in found if one.width > found[0].width]
        steps = [f"{one.url} {one.width / found[0].width:g}x" for one in larger]
        return ", ".join([f"{found[0].url} 1x", *steps]) if steps else ""

    def _renditions(self, row: Model) -> list[Any]:
        picture = next(paths.read(row, self.picture), None)
        return list(picture.get_renditions(*self.renditions).values()) if picture else []


def register_page(
    model: str | type[Model],
    *,
    image: str = "image",
    page: str | None = None,
    filters: Mapping[str, Any] | None = None,
    base: type[PageImages] = PageImages,
    **attributes: Any,
) -> None:
    """Register the images of a page type: `register_page("shop.ProductPage", image="photo")`.

    For a gallery, name its model and the path to the page: `register_page("shop.GalleryImage",
    image="image", page="page")`. Other attributes are those of `PageImages`. Raises
    ImproperlyConfigured if the model does not exist or the name is taken.
    """
    given = {"image": image, "product": page, "filters": filters or {}, **attributes}
    register(model)(type("RegisteredPages", (base,), given))
