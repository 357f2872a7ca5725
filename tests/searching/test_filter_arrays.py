"""Filters on arrays of PostgreSQL: each element is a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from django.apps import apps
from django.db import connection, models
from django.test import Client

from mmsearch_app import ImageSource
from mmsearch_app.testing import registered
from tests.gadgets import choices, found_everywhere
from tests.shop import picture_file

pytestmark = [pytest.mark.django_db, pytest.mark.arrays]


class Arrays(ImageSource):
    name = "arrays"
    image = "picture"
    title = "name"
    filters: ClassVar = {"material": "materials", "inch": "inches"}


@pytest.fixture
def shelf() -> Iterator[Any]:
    """A model with arrays, and its table."""
    from django.contrib.postgres.fields import ArrayField

    class Rack(models.Model):
        name = models.CharField(max_length=40)
        picture = models.ImageField(upload_to="racks/")
        materials = ArrayField(models.CharField(max_length=20, choices=[("w", "Wood")]), null=True)
        inches = ArrayField(ArrayField(models.IntegerField()), default=list)

        class Meta:
            app_label = "shapes"

        def __str__(self) -> str:
            return self.name

    try:
        with connection.schema_editor() as editor:
            editor.create_model(Rack)
        with registered(Arrays(Rack)):
            yield Rack._default_manager
    finally:
        del apps.all_models["shapes"]["rack"]
        apps.clear_cache()


def test_each_element_of_an_array_is_a_value(client: Client, shelf: Any) -> None:
    shelf.create(name="red gadget", picture=picture_file(), materials=["w", "steel"])
    shelf.create(name="blue gadget", picture=picture_file(side=48), inches=[[10, 12], [14, 16]])
    assert found_everywhere(client, material="w") == {"red"}
    assert found_everywhere(client, material=["steel", "x"]) == {"red"}
    assert found_everywhere(client, inch=12) == {"blue"}
    assert found_everywhere(client, inch__gt=15) == {"blue"}
    assert found_everywhere(client, inch__gt=12, inch__lt=14) == set()
    assert choices(client, "material") == {"steel": "steel", "w": "Wood"}
