"""Categories, products and their images."""

from __future__ import annotations

from django.core.files.storage import default_storage
from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse


class CategoryQuerySet(models.QuerySet["Category"]):
    def with_cover(self) -> CategoryQuerySet:
        """Categories that are not empty, annotated with the name of an image file as `cover`."""
        images = ProductImage.objects.filter(
            product__categories=models.OuterRef("pk"), product__is_public=True
        )
        first = images.order_by("position", "-product__price", "pk").values("original")[:1]
        return self.annotate(cover=models.Subquery(first)).exclude(cover=None)


class Category(models.Model):
    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField(max_length=80, unique=True)
    position = models.PositiveSmallIntegerField(default=0)

    objects = CategoryQuerySet.as_manager()

    class Meta:
        ordering = ("position", "name")
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("category", args=[self.slug])

    @property
    def cover_url(self) -> str:
        """The address of the image that `with_cover` found, or "" if there is none."""
        name = getattr(self, "cover", None)
        return default_storage.url(name) if name else ""


class ProductQuerySet(models.QuerySet["Product"]):
    def public(self) -> ProductQuerySet:
        """Products that visitors may see."""
        return self.filter(is_public=True)

    def for_sale(self) -> ProductQuerySet:
        """Public products with a price; those on the inspiration board have none."""
        return self.public().filter(price__isnull=False)


class Product(models.Model):
    """A product with its own page. One without a price is for inspiration only."""

    sku = models.CharField("SKU", max_length=40, unique=True)
    title = models.CharField(max_length=160)
    slug = models.SlugField(max_length=180, unique=True)
    description = models.TextField(blank=True)
    price = models.DecimalField(
        max_digits=8,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Leave empty for a picture on the inspiration board that is not for sale.",
    )
    categories = models.ManyToManyField(Category, related_name="products", blank=True)
    stock = models.PositiveIntegerField(default=0)
    is_public = models.BooleanField(default=True)

    kind = models.CharField(max_length=40, blank=True)
    colour = models.CharField(max_length=40, blank=True)
    accent = models.CharField(max_length=40, blank=True)
    pattern = models.CharField(max_length=40, blank=True)

    objects = ProductQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("product", args=[self.slug])

    @property
    def cover(self) -> ProductImage | None:
        """The first image, or None. Makes no query if `images` is prefetched."""
        return next(iter(self.images.all()), None)


class ProductImage(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="images")
    original = models.ImageField(upload_to="products/")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ("position", "pk")

    def __str__(self) -> str:
        return f"{self.product} ({self.position + 1})"
