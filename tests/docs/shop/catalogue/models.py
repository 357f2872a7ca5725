"""Products as the documentation's snippets know them."""

# ruff: noqa: DJ008 - only products have a text

from __future__ import annotations

from django.db import models


class Category(models.Model):
    """A shelf."""

    name = models.CharField(max_length=80)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    """Shown by several images."""

    title = models.CharField(max_length=80)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=10)
    is_public = models.BooleanField(default=True)
    categories = models.ManyToManyField(Category, related_name="products")
    attributes = models.JSONField(default=dict)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """No such page exists."""
        return f"/product/{self.pk}/"

    @property
    def on_sale(self) -> bool:
        """Whether it is cheap."""
        return self.price < 10


class ProductImage(models.Model):
    """An image of a product."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="images")
    original = models.ImageField(upload_to="images/")
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("position",)


class Poster(models.Model):
    """A product that has its image itself."""

    title = models.CharField(max_length=80)
    picture = models.ImageField(upload_to="posters/")


class Photo(models.Model):
    """A file of a media library, which several products may share."""

    file = models.FileField(upload_to="library/")


class Lamp(models.Model):
    """A product that points to the media library."""

    title = models.CharField(max_length=80)
    photo = models.ForeignKey(Photo, on_delete=models.PROTECT, null=True)
