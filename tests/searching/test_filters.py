"""Filters: parsing, and their effect in the index and in the database."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from example_shop.models import Category, Product
from mmsearch_app import search
from mmsearch_app.backends import get_index
from mmsearch_app.indexes.base import Condition
from mmsearch_app.searching.filters import parse
from mmsearch_app.sources import specs
from tests.shapes.models import Exhibition, Poster, Tag
from tests.shop import Catalogue, work
from tests.shop_kit import found

pytestmark = pytest.mark.django_db


def test_a_number_is_compared_with_each_operator(gallery: Any) -> None:
    assert found(copies=2) == {"green"}
    assert found(copies=[1, 3]) == {"red", "blue"}
    assert found(copies__in=[1, 3]) == {"red", "blue"}
    assert found(copies__gt=2) == {"blue"}
    assert found(copies__gte=2) == {"green", "blue"}
    assert found(copies__lt=2) == {"red"}
    assert found(copies__lte=2) == {"red", "green"}
    assert found(copies__gte=2, copies__lt=3) == {"green"}


def test_values_may_be_text_as_in_a_url(gallery: Any) -> None:
    assert found(copies="2") == {"green"}
    assert found(copies__gte="2") == {"green", "blue"}
    assert found(signed="true") == {"red"}
    assert found(released__gte="2002-01-01") == {"green", "blue"}


def test_a_price_is_exact(shop: Catalogue) -> None:
    Product.objects.filter(pk=shop["red mug"].pk).update(price=Decimal("0.10"))
    shop["red mug"].refresh_from_db()
    shop["red mug"].save()
    work()
    for value in ("0.10", "0.1", Decimal("0.1"), 0.1):
        hits = search("mug", filters={"price": value}).hits
        assert [hit.title for hit in hits] == ["red mug"], value


def test_a_boolean_is_true_or_false(gallery: Any) -> None:
    assert found(signed=True) == {"red"}
    assert found(signed=False) == {"green", "blue"}


@pytest.mark.parametrize(
    "day", ["2002-06-01", date(2002, 6, 1), datetime(2002, 6, 1), datetime(2002, 6, 1, tzinfo=UTC)]
)
def test_a_date_in_any_format_is_compared_in_the_shops_time_zone(gallery: Any, day: Any) -> None:
    assert found(released__gt=day) == {"blue"}
    assert found(released__gte=day) == {"green", "blue"}


def test_text_filters_compare_the_whole_value(gallery: Any) -> None:
    assert found(label="red sea") == {"red"}
    assert found(label="red") == set()
    assert found(label='red sea" or "1" == "1') == set()


def test_a_filter_on_a_property_uses_the_index(gallery: Any) -> None:
    assert found(shade="red") == {"red"}
    assert found(shade=["red", "blue"]) == {"red", "blue"}


def test_a_relation_accepts_a_row_or_a_key(gallery: Any) -> None:
    waves, sands = Exhibition.objects.order_by("pk")
    assert found(exhibition=waves) == {"green", "blue"}
    assert found(exhibition=sands.pk) == {"blue"}
    assert found(exhibition=str(sands.pk)) == {"blue"}
    assert found(exhibition=Exhibition.objects.all()) == {"green", "blue"}
    assert found(hung="Waves") == {"green", "blue"}


def test_a_row_with_two_matching_values_is_one_hit(gallery: Any) -> None:
    hits = search("sea", filters={"hung": ["Waves", "Sands"]}).hits
    assert [hit.title for hit in hits].count("blue sea") == 1


def test_a_relation_of_the_product_can_be_a_filter(shop: Catalogue) -> None:
    mugs = Category.objects.create(name="Mugs", slug="mugs")
    for title in ("red mug", "green mug"):
        shop[title].categories.add(mugs)
    work()
    hits = search("mug", filters={"category": mugs}).hits
    assert {hit.title for hit in hits} == {"red mug", "green mug"}


def test_all_filters_must_match(gallery: Any) -> None:
    assert found(copies__gte=2, hung="Sands") == {"blue"}
    assert found(copies=1, hung="Sands") == set()


def test_a_source_without_the_filter_has_no_matches(gallery: Any, shop: Catalogue) -> None:
    assert found(copies__gte=0) == {"red", "green", "blue"}
    assert {type(hit.product) for hit in search("mug", filters={"copies": 1}).hits} == {Poster}


def test_the_database_overrides_a_stale_index(gallery: Any) -> None:
    Poster.objects.filter(copies=3).update(copies=1)
    assert found(copies__gte=2) == {"green"}


@pytest.mark.parametrize("value", [None, "", [], (), set()])
def test_empty_form_fields_are_not_filters(gallery: Any, value: Any) -> None:
    assert found(copies=value) == {"red", "green", "blue"}


def test_an_empty_queryset_matches_nothing(gallery: Any) -> None:
    assert found(exhibition=Exhibition.objects.none()) == set()


def test_specs_describe_the_filters_for_a_form(gallery: Any) -> None:
    found_specs = specs()
    kinds = {name: (spec.kind, spec.many) for name, spec in found_specs.items()}
    assert kinds == {
        "category": ("relation", True),
        "price": ("number", False),
        "tag": ("text", True),
        "copies": ("number", False),
        "released": ("date", False),
        "signed": ("boolean", False),
        "shade": ("text", False),
        "label": ("text", False),
        "exhibition": ("relation", True),
        "hung": ("text", True),
    }
    assert get_index().live() is not None


def test_a_renamed_tag_is_filtered_by_its_new_name(gallery: Any) -> None:
    tag = Tag.objects.create(name="old")
    gallery[0].tags.add(tag)
    work()
    tag.name = "new"
    tag.save()
    work()
    assert found(tag="new") == {"red"}
    assert found(tag="old") == set()


def test_a_query_is_parsed_to_one_condition_for_each_comparison() -> None:
    (wanted,) = parse({"price__lte": "19.9", "price__gt": 5})
    assert wanted.conditions() == [
        Condition(name="price", operator="lte", values=(19.9,)),
        Condition(name="price", operator="gt", values=(5.0,)),
    ]
