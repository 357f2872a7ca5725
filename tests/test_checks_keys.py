"""System checks for long keys, and for rows in another database than the ledger."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.db import models
from django.test.utils import isolate_apps

from example_shop.models import Category, Product, ProductImage
from mmsearch_app.models import Entry
from tests.test_checks import ids, of_source

pytestmark = pytest.mark.django_db


@isolate_apps("tests.shapes")
def keyed(field: models.Field[Any, Any]) -> type[models.Model]:
    """A model with this primary key, in an isolated app registry."""

    class Keyed(models.Model):  # noqa: DJ008 - no row of it is ever made
        key = field
        image = models.ImageField()
        url = ""

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
    """A database router that puts some models into another database."""

    moved: ClassVar[set[type[models.Model]]] = set()

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return "archive" if model in self.moved else None


class ApartByInstance(Apart):
    """The same, but it decides by the row that is saved."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "archive" if type(hints.get("instance")) in self.moved else None


class Replicated:
    """A database router with replicas, which lets a row stay where it was read."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **_: Any) -> str:
        return "default"


SOURCE: dict[str, Any] = {
    "image": "original",
    "product": "product",
    "filters": {"shelf": "product.categories.name"},
    "depends_on": {"example_shop.Category": "products.images"},
}


@pytest.mark.parametrize("router", [Apart, ApartByInstance])
@pytest.mark.parametrize("model", [ProductImage, Product, Category])
def test_e009_a_model_in_another_database_than_the_ledger(
    settings: Any, monkeypatch: pytest.MonkeyPatch, model: Any, router: type
) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.{router.__name__}"]
    assert "E009" not in ids(of_source(ProductImage, **SOURCE))
    monkeypatch.setattr(Apart, "moved", {model})
    (found,) = of_source(ProductImage, **SOURCE)
    assert ids([found]) == ["E009"]
    assert found.is_serious()
    assert f"{model._meta.label} is written to the database 'archive'" in str(found.msg)
    assert "'default'" in str(found.msg)
    assert "migrate --database archive" in str(found.hint)


def test_e009_the_ledger_in_another_database_than_the_shop(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.Apart"]
    monkeypatch.setattr(Apart, "moved", {Entry})
    found = of_source(ProductImage, **SOURCE)
    assert ids(found) == ["E009"] * 3
    assert "send the app mmsearch_app to 'default' as well" in str(found[0].hint)


def test_replicas_are_fine(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.Replicated"]
    assert of_source(ProductImage, **SOURCE) == []
