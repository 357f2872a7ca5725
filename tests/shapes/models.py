"""Ways to store product images that the example shop does not use."""

from __future__ import annotations

import uuid
from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.db import models


class Tag(models.Model):
    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name


class Poster(models.Model):
    """A product with its image in its own field, and a UUID as its key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=80)
    picture = models.ImageField(upload_to="posters/", blank=True)
    tags = models.ManyToManyField(Tag, related_name="posters")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=1)
    copies = models.IntegerField(default=1)
    released = models.DateTimeField(null=True, blank=True)
    signed = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """It has no page."""
        return ""

    @property
    def shade(self) -> str:
        """A value that is not in the database."""
        return self.name.split()[0]


class FramedPoster(Poster):
    """A subclass with its own table: Django sends its signals with this class as sender."""

    frame = models.CharField(max_length=40)


class CheapPoster(Poster):
    """A proxy: Django sends its signals with this class as sender."""

    class Meta:
        proxy = True


class Exhibition(models.Model):
    """Points to posters: the many-to-many field is on this side, not on the product's."""

    title = models.CharField(max_length=40)
    posters = models.ManyToManyField(Poster, related_name="exhibitions")

    def __str__(self) -> str:
        return self.title


class Media(models.Model):
    """A media library with images and other files."""

    file = models.FileField(upload_to="media/", blank=True)

    def __str__(self) -> str:
        return self.file.name or ""


class Garment(models.Model):
    """A product that points to a row of the media library; products can share a row."""

    code = models.CharField(max_length=20, primary_key=True)
    name = models.CharField(max_length=80)
    photo = models.ForeignKey(Media, null=True, on_delete=models.SET_NULL, related_name="garments")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """It has no page."""
        return ""


class Attachment(models.Model):
    """A row with an image, a document or nothing."""

    garment = models.ForeignKey(Garment, null=True, on_delete=models.CASCADE)
    upload = models.FileField(upload_to="attachments/", null=True, blank=True)

    def __str__(self) -> str:
        return str(self.pk)


class Specimen(models.Model):
    """A product with sixty properties, `f0` to `f59`, of every plain type."""

    picture = models.ImageField(upload_to="specimens/", blank=True)

    def __str__(self) -> str:
        return str(self.pk)


_PLAIN: list[models.Field[Any, Any]] = [
    models.CharField(max_length=40, default="rød"),
    models.TextField(default=""),
    models.IntegerField(null=True),
    models.BooleanField(default=True),
    models.DecimalField(max_digits=8, decimal_places=2, default=Decimal("20.10")),
    models.FloatField(default=0.1),
    models.DateField(null=True),
    models.DateTimeField(default=datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)),
    models.UUIDField(default=uuid.UUID(int=7)),
    models.JSONField(default=dict),
]
for _number in range(60):
    Specimen.add_to_class(f"f{_number}", copy(_PLAIN[_number % len(_PLAIN)]))


class Label(models.Model):
    """A row to which others point without a name for the way back."""

    title = models.CharField(max_length=40)
    seen = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Label]] = models.Manager()

    def __str__(self) -> str:
        return self.title


class Offer(models.Model):
    """A price of a poster; a poster has several, and an offer may move to another poster."""

    poster = models.ForeignKey(Poster, on_delete=models.CASCADE, related_name="offers")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=1)
    label = models.ForeignKey(Label, null=True, on_delete=models.SET_NULL, related_name="+")

    objects: ClassVar[models.Manager[Offer]] = models.Manager()

    def __str__(self) -> str:
        return str(self.price)


class Shelf(models.Model):
    """Holds posters by a table of links of its own, whose rows are saved one by one."""

    name = models.CharField(max_length=40)
    posters = models.ManyToManyField(Poster, through="Placement", related_name="shelves")

    objects: ClassVar[models.Manager[Shelf]] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Placement(models.Model):
    poster = models.ForeignKey(Poster, on_delete=models.CASCADE, related_name="+")
    shelf = models.ForeignKey(Shelf, on_delete=models.CASCADE, related_name="+")

    objects: ClassVar[models.Manager[Placement]] = models.Manager()

    def __str__(self) -> str:
        return str(self.pk)


from tests.shapes import gadgets  # noqa: E402, F401 - more models of this app
