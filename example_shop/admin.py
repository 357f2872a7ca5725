"""The shop's admin: categories, products and their images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from example_shop.models import Category, Product, ProductImage
from mmsearch_app.admin.mixin import ReindexMixin

if TYPE_CHECKING:
    _CategoryAdmin = admin.ModelAdmin[Category]
    _ProductAdmin = admin.ModelAdmin[Product]
    _ProductImageAdmin = admin.ModelAdmin[ProductImage]
    _Inline = admin.TabularInline[ProductImage, Product]
else:
    _CategoryAdmin = _ProductAdmin = _ProductImageAdmin = admin.ModelAdmin
    _Inline = admin.TabularInline


def thumbnail(image: ProductImage | None) -> SafeString:
    """An `img` tag, or a dash if there is no image."""
    if image is None or not image.original:
        return SafeString("–")
    return format_html(
        '<img src="{}" alt="{}" width="56" height="56" loading="lazy">',
        image.original.url,
        str(image),
    )


@admin.register(Category)
class CategoryAdmin(_CategoryAdmin):
    list_display = ("name", "slug", "position", "products")
    list_editable = ("position",)
    search_fields = ("name",)
    prepopulated_fields: ClassVar = {"slug": ("name",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Category]:
        return super().get_queryset(request).annotate(size=Count("products"))

    @admin.display(ordering="size")
    def products(self, category: Any) -> int:
        """The number of products in the category."""
        return int(category.size)


class ImageInline(_Inline):
    model = ProductImage
    fields = ("thumbnail", "original", "position")
    readonly_fields = ("thumbnail",)
    extra = 1

    @admin.display(description="")
    def thumbnail(self, image: ProductImage) -> SafeString:
        return thumbnail(image)


@admin.register(Product)
class ProductAdmin(ReindexMixin, _ProductAdmin):
    """`ReindexMixin` adds an action that reindexes all images of the chosen products."""

    list_display = ("thumbnail", "title", "price", "stock", "is_public", "search_state")
    list_display_links = ("thumbnail", "title")
    list_editable = ("is_public",)
    list_filter = ("is_public", "categories", "kind")
    list_per_page = 50
    search_fields = ("title", "sku")
    prepopulated_fields: ClassVar = {"slug": ("title",)}
    filter_horizontal = ("categories",)
    inlines = (ImageInline,)
    fieldsets = (
        (None, {"fields": ("title", "slug", "sku", "description", "categories")}),
        ("Sale", {"fields": (("price", "stock"), "is_public")}),
        (
            "Attributes",
            {"fields": (("kind", "pattern"), ("colour", "accent")), "classes": ("collapse",)},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Product]:
        return super().get_queryset(request).prefetch_related("images")

    @admin.display(description="picture")
    def thumbnail(self, product: Product) -> SafeString:
        return thumbnail(product.cover)


@admin.register(ProductImage)
class ProductImageAdmin(ReindexMixin, _ProductImageAdmin):
    list_display = ("thumbnail", "product", "position", "search_state")
    list_display_links = ("thumbnail", "product")
    list_select_related = ("product",)
    list_per_page = 50
    autocomplete_fields = ("product",)
    search_fields = ("product__title", "product__sku")

    @admin.display(description="picture")
    def thumbnail(self, image: ProductImage) -> SafeString:
        return thumbnail(image)
