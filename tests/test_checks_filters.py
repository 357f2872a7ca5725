"""System checks of filters: what can be none is an error that names the source and the cure."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import models

from mmsearch_app import Filter, ImageSource, checks
from mmsearch_app.testing import registered
from tests.shapes.gadgets import Gadget
from tests.shapes.models import Poster


def faults(declared: Any, model: type[models.Model] = Gadget, **more: Any) -> list[str]:
    """The messages about a source with one filter."""
    attributes = {
        "name": "checked",
        "image": "picture",
        "filters": {"it": declared},
        "get_url": lambda self, product: "/",
        **more,
    }
    source = type("Checked", (ImageSource,), attributes)(model)
    with registered(source):
        found = [one for one in checks.check_sources(None) if "checked" in one.msg]
    assert all(one.hint for one in found)
    return [f"{str(one.id).removeprefix('mmsearch_app.')} {one.msg}" for one in found]


@pytest.mark.parametrize(
    "declared",
    [
        "tags",
        "tags.name",
        "sizes",
        "price",
        "maker",
        "notes.stars",
        "pk",
        "group.pk",
        ["price", "children.price", "weight"],
        Filter("attributes.colour", type=str),
        Filter("discounted", type=Decimal),
        Filter("topics", ancestors="parent"),
        Filter("topics.slug", ancestors="get_ancestors"),
        Filter("topics", "group.topics", ancestors="parent"),
    ],
)
def test_what_can_be_a_filter_passes(declared: Any) -> None:
    assert faults(declared) == []


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ("on_sale", "Django cannot tell of what type the values of 'on_sale' are"),
        (["price", "discounted"], "Django cannot tell of what type the values of 'discounted' are"),
        ("attributes.colour", "Django cannot tell"),
        ("attributes", "leads to dicts; name a key"),
        ("blob", "leads to bytes"),
        (Filter("blob", type=str), "leads to bytes"),
        (Filter("on_sale", type=timedelta), "is not one of bool, int, float, Decimal"),
        (Filter("on_sale", type="bool"), "is not one of bool, int, float, Decimal"),  # type: ignore[arg-type]
        (["price", "name"], "its paths lead to values of different types"),
        (["maker", "poster"], "its paths lead to values of different types"),
        (Filter("topics", ancestors="nope"), "ancestors = 'nope': shapes.Topic"),
        (Filter("topics", ancestors="slug"), "ancestors = 'slug': shapes.Topic"),
        (Filter(using="price", type=int), "using = 'price' is no function"),  # type: ignore[arg-type]
        (Filter(), "it has no path"),
        (Filter(type=bool), "it has no path, and get_filters is not overridden"),
        ([], "it has no path"),
        (5, "it has no path"),
        (None, "it has no path"),
        ("", "it has no path"),
        (["price", 5], "it has no path"),
    ],
)
def test_e020_what_can_be_no_filter(declared: Any, why: str) -> None:
    (found,) = faults(declared)
    assert found.startswith("E020 <Checked checked>: the filter 'it' cannot be used: ")
    assert why in found


def test_e020_a_generic_foreign_key_and_a_field_that_nobody_knows() -> None:
    class Strange(models.Field):  # type: ignore[type-arg]
        def db_type(self, connection: Any) -> str:
            return "text"

    class Odd(models.Model):
        picture = models.ImageField()
        strange = Strange()

        class Meta:
            app_label = "shapes"
            managed = False

        def __str__(self) -> str:
            return ""

    with forgotten("odd"):
        assert "Django cannot tell" in faults("strange", Odd)[0]
        assert faults(Filter("strange", type=str), Odd) == []
    assert "Django cannot tell" in faults("notes.about")[0]


def test_e020_fields_of_postgresql() -> None:
    from django.contrib.postgres.fields import ArrayField, HStoreField, IntegerRangeField

    class Pg(models.Model):
        picture = models.ImageField()
        sizes = ArrayField(models.IntegerField())
        span = IntegerRangeField()
        store = HStoreField()
        total = models.GeneratedField(
            expression=models.Value(1), output_field=models.IntegerField(), db_persist=True
        )

        class Meta:
            app_label = "shapes"
            managed = False

        def __str__(self) -> str:
            return ""

    with forgotten("pg"):
        assert faults("sizes", Pg) == faults("total", Pg) == []
        assert "leads to ranges; name a property that returns one end" in faults("span", Pg)[0]
        assert "leads to dicts; name a key" in faults("store", Pg)[0]


class forgotten:
    """Remove a model of a test from Django's registry after the block."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, *_: Any) -> None:
        from django.apps import apps

        del apps.all_models["shapes"][self.name]
        apps.clear_cache()


def test_a_filter_of_the_shops_own_get_filters_needs_only_a_type() -> None:
    def get_filters(self: Any, row: Any) -> dict[str, Any]:
        return {"it": True}

    assert faults(Filter(type=bool), get_filters=get_filters) == []


def test_a_computed_filter_needs_a_type() -> None:
    assert faults(Filter(using=str, type=str)) == []
    (found,) = faults(Filter(using=str))
    assert found.startswith("E020 <Checked checked>: the filter 'it' cannot be used: it has no")


def test_e021_two_sources_with_different_types() -> None:
    attributes = {"name": "text", "image": "picture", "filters": {"it": "name"}}
    text = type("Text", (ImageSource,), attributes)
    with registered(text(Poster)):
        (found,) = faults("stock")
    assert found.startswith("E021 <Checked checked>: the filter 'it' has values of the kind 'num")


def test_connecting_a_source_with_an_impossible_filter_never_raises() -> None:
    for declared in ("nope", "blob", "notes.about", "tags.nope.x", 5, None, ["x", 1]):
        assert faults(declared)
