"""A product with fields and links of every type, and the models that it is linked with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext_lazy
from djmoney.models.fields import MoneyField
from taggit.managers import TaggableManager


class Maker(models.Model):
    """A row whose key is a text."""

    objects: ClassVar[models.Manager[Maker]] = models.Manager()
    code = models.CharField(max_length=20, primary_key=True)

    def __str__(self) -> str:
        return f"Maker {self.code}"


class Topic(models.Model):
    """A node of a tree."""

    objects: ClassVar[models.Manager[Topic]] = models.Manager()
    slug = models.SlugField()
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")

    def __str__(self) -> str:
        return self.slug.title()

    def get_ancestors(self) -> list[Topic]:
        """All topics above, the nearest first, as libraries for trees have it."""
        found: list[Topic] = []
        topic = self.parent
        while topic and topic not in found:
            found.append(topic)
            topic = topic.parent
        return found


class Mood(models.TextChoices):
    CALM = "c", gettext_lazy("Calm")
    WILD = "w", gettext_lazy("Wild")


class Note(models.Model):
    """Points to any row."""

    objects: ClassVar[models.Manager[Note]] = models.Manager()
    # No constraint: this app has no migrations, so its tables are there before those of others.
    kind = models.ForeignKey(ContentType, on_delete=models.CASCADE, db_constraint=False)
    key = models.CharField(max_length=40)
    about = GenericForeignKey("kind", "key")
    stars = models.IntegerField()

    def __str__(self) -> str:
        return str(self.stars)


_MONEY: dict[str, Any] = {
    "max_digits": 10, "decimal_places": 2, "default_currency": "EUR", "null": True,
}  # fmt: skip


class Gadget(models.Model):
    """A product with a field of every kind that shops filter on."""

    objects: ClassVar[models.Manager[Gadget]] = models.Manager()
    name = models.CharField(max_length=80)
    picture = models.ImageField(upload_to="gadgets/", blank=True)
    group = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    tags = TaggableManager(blank=True)
    topics = models.ManyToManyField(Topic, related_name="gadgets")
    maker = models.ForeignKey(Maker, null=True, on_delete=models.CASCADE)
    poster = models.ForeignKey("shapes.Poster", null=True, on_delete=models.CASCADE)
    notes = GenericRelation(Note, "key", "kind")
    sizes = models.JSONField(null=True, blank=True)
    attributes = models.JSONField(default=dict)
    price: Any = MoneyField(**_MONEY)  # type: ignore[no-untyped-call]
    weight = models.FloatField(null=True)
    stock = models.BigIntegerField(null=True)
    sold = models.BooleanField(null=True)
    made = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    serial = models.UUIDField(null=True)
    mood = models.CharField(max_length=1, choices=Mood, blank=True)
    story = models.TextField(blank=True)
    blob = models.BinaryField(null=True)
    public = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name

    @property
    def on_sale(self) -> bool:
        return self.name.startswith("cheap")

    @property
    def discounted(self) -> Decimal | None:
        return self.price.amount * Decimal("0.9") if self.price else None

    @property
    def colours(self) -> list[str]:
        return self.name.split()
