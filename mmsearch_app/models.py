"""The ledger's tables: the state of every image, and rebuilds."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from django.db import models, router
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from mmsearch_app.translation import translate_stored

__all__ = ["Entry", "KnownIndex", "Rebuild", "ScoreFloor", "State"]

_M = TypeVar("_M", bound=models.Model)


class State(models.TextChoices):
    """What became of a row's image."""

    PENDING = "pending", _("waiting")
    INDEXED = "indexed", _("indexed")
    EMPTY = "empty", _("no picture")
    REJECTED = "rejected", _("not usable")
    FAILED = "failed", _("gave up")
    REMOVED = "removed", _("removed")


class Primary(models.Manager[_M]):
    """Reads from the database that takes writes: a replica may lag behind the last mark."""

    def get_queryset(self) -> models.QuerySet[_M]:
        return super().get_queryset().using(router.db_for_write(self.model))


class ExactCharField(models.CharField):  # type: ignore[type-arg]
    """Texts that are equal only if every character is, in every database.

    MySQL and MariaDB would otherwise ignore case, accents and trailing spaces.
    """

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = super().db_parameters(connection)
        if connection.vendor == "mysql":  # a collation's name is no feature
            maria = connection.mysql_is_mariadb
            parameters["collation"] = "utf8mb4_nopad_bin" if maria else "utf8mb4_0900_bin"
        return parameters


class Entry(models.Model):
    """One row of a source: which version of it is wanted, and which one the index contains.

    A state, not an event: many saves, one entry. `wanted` is a random token that changes with
    every mark, so that a worker notices if the version that it worked on is no longer wanted.
    """

    source = ExactCharField(_("source"), max_length=100)
    object_pk = ExactCharField(_("primary key"), max_length=255)
    present = models.BooleanField(_("wanted in the index"), default=True)
    wanted = models.UUIDField(_("wanted"), default=uuid.uuid4, editable=False)
    state = models.CharField(
        _("state"), max_length=10, choices=State, default=State.PENDING, db_index=True
    )
    due_at = models.DateTimeField(_("due"), null=True, blank=True, db_index=True)
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True, editable=False)
    lease = models.UUIDField(null=True, editable=False)
    """The claim that `lease_until` belongs to. A worker that lost its lease notices by it."""
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    error = models.TextField(_("error"), blank=True, default="")
    marked_at = models.DateTimeField(_("marked"))
    indexed_at = models.DateTimeField(_("indexed"), null=True, blank=True)

    generation = models.CharField(
        _("generation"), max_length=255, blank=True, default="", editable=False
    )
    """The generation of the index that contains `digest` and `content`."""
    digest = models.CharField(_("digest"), max_length=64, blank=True, default="", editable=False)
    """SHA-256 of the file's bytes."""
    content = models.CharField(_("content"), max_length=64, blank=True, default="", editable=False)
    """SHA-256 of all that was embedded: as long as it stays, so does the vector."""
    signature = ExactCharField(
        _("signature"), max_length=32, blank=True, default="", editable=False
    )
    """MD5 of the row's relevant columns, computed by the database; reconcile compares it."""

    staged = models.UUIDField(_("staged"), null=True, editable=False)
    """The version of this entry that the generation `staged_in`, which is being filled, contains.
    None: an unknown version, or none."""
    staged_in = models.CharField(
        _("staged in"), max_length=255, blank=True, default="", editable=False
    )

    objects = Primary["Entry"]()

    class Meta:
        verbose_name = _("index entry")
        verbose_name_plural = _("index entries")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "object_pk"], name="mmsearch_entry_once")
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        """Id of the record in the index."""
        return f"{self.source}:{self.object_pk}"

    @property
    def explanation(self) -> str:
        """The error, translated into the active language if possible."""
        return translate_stored(self.error)


class Rebuild(models.Model):
    """The filling of a new generation beside the live one; at most one is open."""

    generation = models.CharField(_("generation"), max_length=255, blank=True, default="")
    fingerprint = models.CharField(max_length=255, blank=True, default="", editable=False)
    requested_at = models.DateTimeField(_("requested"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    total = models.PositiveIntegerField(_("pictures"), default=0)
    done = models.PositiveIntegerField(_("done"), default=0)
    error = models.TextField(_("error"), blank=True, default="")
    open = models.BooleanField(default=True, editable=False)
    one_open = models.GeneratedField(
        expression=models.Case(models.When(open=True, then=models.Value(1))),
        output_field=models.SmallIntegerField(),
        db_persist=True,
        unique=True,
    )
    """1 while it is open, else NULL, which may occur any number of times: a unique constraint with
    a condition does not exist in MySQL and MariaDB."""

    objects = Primary["Rebuild"]()

    class Meta:
        verbose_name = _("rebuild")
        verbose_name_plural = _("rebuilds")

    def __str__(self) -> str:
        return self.generation or gettext("rebuild %(number)s") % {"number": self.pk}

    @property
    def explanation(self) -> str:
        """The error, translated into the active language if possible."""
        return translate_stored(self.error)

    @property
    def took(self) -> str:
        """Duration in words, or "" while the rebuild is open."""
        if self.finished_at is None:
            return ""
        seconds = round((self.finished_at - self.requested_at).total_seconds())
        if seconds >= 60:
            return timesince(self.requested_at, self.finished_at)
        return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds}


class KnownIndex(models.Model):
    """The index that this ledger fills: one row, whose stamp the live generation carries, too.

    See `indexing.stamps`.
    """

    instance = models.UUIDField(default=uuid.uuid4, editable=False)
    generation = models.CharField(max_length=255, blank=True, default="", editable=False)
    """The generation that was live when it was last looked at."""
    number = models.PositiveBigIntegerField(default=0, editable=False)
    """The number in `stamp`."""
    stamp = models.CharField(max_length=100, blank=True, default="", editable=False)
    coming = models.CharField(max_length=100, blank=True, default="", editable=False)
    """The next stamp while it is being written: the index may already carry it."""
    stamped_at = models.DateTimeField(null=True, editable=False)
    problem = models.TextField(blank=True, default="", editable=False)
    """Why nothing is written to the index, or ""."""
    healed = models.TextField(blank=True, default="", editable=False)
    """What was last found wrong with the index and is being repaired without a person, or ""."""
    healed_at = models.DateTimeField(null=True, editable=False)

    objects = Primary["KnownIndex"]()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.generation

    @property
    def is_healing(self) -> bool:
        """Whether something was found wrong within a day."""
        return self.healed_at is not None and timezone.now() - self.healed_at < timedelta(days=1)


class ScoreFloor(models.Model):
    """The best cosines that nonsense reaches in a generation, by kind of question.

    See `indexing.floors`.
    """

    generation = models.CharField(max_length=255, unique=True, editable=False)
    images = models.PositiveIntegerField(editable=False)
    """Number of images when it was measured."""
    words = models.FloatField(editable=False)
    picture = models.FloatField(editable=False)
    composed = models.FloatField(editable=False)
    measured_at = models.DateTimeField(editable=False)

    objects = Primary["ScoreFloor"]()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"words {self.words:.3f}, picture {self.picture:.3f}, both {self.composed:.3f}"
