"""The shapes of product pictures that the example shop does not have."""

from __future__ import annotations

import uuid

from django.db import models


class Tag(models.Model):
    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name


class Poster(models.Model):
    """A product with its picture in a field of its own, and a UUID for a key."""

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

    @property
    def shade(self) -> str:
        """Something that the database does not know."""
        return self.name.split()[0]


class FramedPoster(Poster):
    """A subclass with a table of its own: Django sends its signals under its own name."""

    frame = models.CharField(max_length=40)


class CheapPoster(Poster):
    """A proxy: Django sends its signals under its own name as well."""

    class Meta:
        proxy = True


class Exhibition(models.Model):
    """Names its posters itself: the many-to-many field is on the other side."""

    title = models.CharField(max_length=40)
    posters = models.ManyToManyField(Poster, related_name="exhibitions")

    def __str__(self) -> str:
        return self.title


class Media(models.Model):
    """A media library: pictures, and other files."""

    file = models.FileField(upload_to="media/", blank=True)

    def __str__(self) -> str:
        return self.file.name


class Garment(models.Model):
    """A product that points to a row of the media library, which several may share."""

    code = models.CharField(max_length=20, primary_key=True)
    name = models.CharField(max_length=80)
    photo = models.ForeignKey(Media, null=True, on_delete=models.SET_NULL, related_name="garments")

    def __str__(self) -> str:
        return self.name


class Attachment(models.Model):
    """A row that may hold a picture, a document or nothing."""

    garment = models.ForeignKey(Garment, null=True, on_delete=models.CASCADE)
    upload = models.FileField(upload_to="attachments/", null=True, blank=True)

    def __str__(self) -> str:
        return str(self.pk)
