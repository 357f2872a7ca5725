"""System checks for long keys, and for rows in another database than the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps

from example_shop.models import ProductImage
from tests.test_checks import ids, of_source

pytestmark = pytest.mark.django_db


@isolate_apps("tests.shapes")
def keyed(field: models.Field[Any, Any]) -> type[models.Model]:
    """A model with this primary key, in an isolated app registry."""

    class Keyed(models.Model):  # noqa: DJ008 - no row of it is ever made
        key = field
        image = models.ImageField()

        class Meta:
            app_label = "shapes"

    return Keyed


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (models.CharField(primary_key=True, max_length=255), []),
        (models.CharField(primary_key=True, max_length=256), ["E008"]),
        (models.CharField(primary_key=True), ["E008"]),
        (models.TextField(primary_key=True), ["E008"]),
        (models.BigIntegerField(primary_key=True), []),
    ],
)
def test_a_key_longer_than_the_ledgers_is_refused(
    field: models.Field[Any, Any], found: list[str]
) -> None:
    assert ids(of_source(keyed(field))) == found


class Apart:
    """A database router that puts the shop's images into another database."""

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return "archive" if model is ProductImage else None


def test_rows_in_another_database_than_the_ledger_are_reported(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.Apart"]
    assert ids(of_source(ProductImage, image="original")) == ["W005"]
