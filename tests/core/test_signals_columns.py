"""A save with `update_fields` marks nothing where none of these fields matters, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.test.utils import CaptureQueriesContext

from example_shop.models import Product, ProductImage
from mmsearch_app import ImageSource
from mmsearch_app.testing import registered
from tests.core.conftest import IMAGES, Sell, picture_file
from tests.core.kit import deaf, due, settle
from tests.shapes.models import Exhibition, Garment, Media, Poster, Tag

pytestmark = pytest.mark.django_db


def test_a_change_of_stock_costs_no_query_and_marks_nothing(sell: Sell) -> None:
    product = sell(pictures=2)
    settle()
    with CaptureQueriesContext(connection) as with_search:
        product.save(update_fields=["stock"])
    with deaf(Product), CaptureQueriesContext(connection) as without:
        product.save(update_fields=["stock"])
    assert len(with_search) == len(without)
    assert due() == set()


@pytest.mark.parametrize("field", ["title", "price", "is_public"])
def test_a_field_of_a_path_or_of_the_querysets_conditions_marks(sell: Sell, field: str) -> None:
    product = sell()
    settle()
    product.save(update_fields=["stock", field])
    assert len(due()) == 1


@pytest.mark.parametrize("field", ["product", "product_id", "original"])
def test_a_link_on_the_way_counts_by_either_of_its_names(sell: Sell, field: str) -> None:
    image = sell().images.get()
    settle()
    image.save(update_fields=[field])
    assert due() == {f"{IMAGES}:{image.pk}"}


def test_a_field_of_the_row_that_no_path_passes_marks_nothing(sell: Sell) -> None:
    image = sell().images.get()
    settle()
    image.save(update_fields=["position"])
    assert due() == set()


def test_a_save_without_update_fields_marks_as_ever(sell: Sell) -> None:
    image = sell().images.get()
    settle()
    image.save()
    ProductImage.objects.only("original").get().save()
    assert due() == {f"{IMAGES}:{image.pk}"}


def test_a_related_row_counts_by_the_field_at_the_end_of_the_path(db: None) -> None:
    media = Media.objects.create(file=picture_file())
    Garment.objects.create(code="a", name="coat", photo=media)
    settle()
    media.save(update_fields=["file"])
    assert due() == {"shapes.garment:a"}


def test_the_name_behind_a_many_to_many_link_counts(db: None) -> None:
    poster, tag = (
        Poster.objects.create(name="sea", picture=picture_file()),
        Tag.objects.create(name="calm"),
    )
    poster.tags.add(tag)
    settle()
    tag.save(update_fields=["name"])
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


class Plain(ImageSource):
    name = "plain"
    image = "picture"


class WithProperty(Plain):
    filters: ClassVar = {"shade": "shade"}


class WithMethod(Plain):
    def get_title(self, row: Any) -> str:
        return f"{row.copies} copies"


class Shown(Plain):
    """A source whose queryset is given by the test."""

    rows: ClassVar[Callable[[], QuerySet[Any]]]

    def get_queryset(self) -> QuerySet[Any]:
        return type(self).rows()


def is_marked_by(source: type[ImageSource], field: str) -> bool:
    with registered(source(Poster)):
        poster = Poster.objects.create(name="sea", picture=picture_file())
        settle()
        poster.save(update_fields=[field])
        return f"{source.name}:{poster.pk.hex}" in due()


def test_only_the_picture_counts_where_the_source_reads_nothing_else(db: None) -> None:
    assert is_marked_by(Plain, "picture")
    assert not is_marked_by(Plain, "copies")


@pytest.mark.parametrize("source", [WithProperty, WithMethod])
def test_a_property_or_a_method_of_the_shop_may_depend_on_anything(
    db: None, source: type[ImageSource]
) -> None:
    assert is_marked_by(source, "copies")


def posters() -> QuerySet[Any]:
    return Poster.objects.all()


def shows() -> QuerySet[Any]:
    return Exhibition.objects.filter(title=OuterRef("name"))


CONDITIONS: dict[str, Callable[[], QuerySet[Any]]] = {
    "equal": lambda: posters().filter(copies=1),
    "negated": lambda: posters().exclude(Q(copies=5) | Q(name="x")),
    "two columns": lambda: posters().filter(price__lte=F("copies")),
    "a range of columns": lambda: posters().filter(price__range=(0, F("copies"))),
    "annotated": lambda: posters().annotate(double=F("copies") * 2).filter(double__gt=1),
    "a subquery": lambda: posters().filter(pk__in=posters().filter(copies=1).values("pk")),
    "raw SQL": lambda: posters().extra(where=["copies > 0"]),
    "a slice": lambda: posters().order_by("copies")[:10],
    "a union": lambda: posters().union(posters().filter(copies=1)),
    "an error": lambda: posters().filter(copies=[][0]),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_whatever_condition_the_queryset_has_its_columns_count(
    db: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(Shown, "rows", staticmethod(CONDITIONS[name]), raising=False)
    assert is_marked_by(Shown, "copies")


@pytest.mark.parametrize(
    "rows",
    [
        lambda: posters().filter(signed=False, price__in=[1, 2]),
        lambda: posters().filter(Exists(Exhibition.objects.filter(title="Waves"))),
    ],
)
def test_a_column_that_the_queryset_does_not_ask_for_does_not_count(
    db: None, monkeypatch: pytest.MonkeyPatch, rows: Callable[[], QuerySet[Any]]
) -> None:
    monkeypatch.setattr(Shown, "rows", staticmethod(rows), raising=False)
    assert not is_marked_by(Shown, "copies")


def test_a_column_that_a_subquery_compares_with_counts(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Shown, "rows", staticmethod(lambda: posters().filter(~Exists(shows()))), raising=False
    )
    assert is_marked_by(Shown, "name")
