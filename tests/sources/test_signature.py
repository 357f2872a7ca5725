"""The signature of a row: how reconcile sees that columns changed."""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import TextField, Value
from django.db.models.functions import MD5, Cast, Coalesce, Concat

from mmsearch_app import Filter, ImageSource, search
from mmsearch_app.backends import get_embedder
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.models import Entry
from mmsearch_app.sources import signature
from mmsearch_app.testing import registered
from tests.shapes.models import Poster, Specimen
from tests.shop import CountingEmbedder, picture_file, work

pytestmark = pytest.mark.django_db

SPECIMENS = Specimen._default_manager


def source_with(count: int) -> ImageSource:
    class Specimens(ImageSource):
        name = "specimens"
        image = "picture"

    Specimens.filters = {f"f{number}": f"f{number}" for number in range(count)}
    return Specimens(Specimen)


def signature_of(source: ImageSource, row: Any) -> Any:
    rows = source.model._default_manager.annotate(found=signature(source))
    return rows.values_list("found", flat=True).get(pk=row.pk)


@pytest.mark.parametrize("count", [3, 30, 60])
def test_any_number_of_filters_is_indexed_found_and_reconciled(count: int) -> None:
    with registered(source_with(count)):
        first, second = (
            SPECIMENS.create(picture=picture_file(colour)) for colour in ("red", "blue")
        )
        work()
        assert reconcile() == Drift()
        SPECIMENS.filter(pk=second.pk).update(**{f"f{count - 1}": changed(count - 1)})
        assert reconcile() == Drift(changed=1)
        work()
        assert reconcile() == Drift()
        names = ["f0", "f3", "f4"][: max(1, count // 10)]
        wanted = {name: getattr(first, name) for name in names}
        assert {hit.product for hit in search("red", filters=wanted).hits} >= {first}


def changed(number: int) -> Any:
    values: list[Any] = ["x", "x", 1, False, Decimal(1), 1.5, date(2026, 1, 1)]
    values += ["2026-05-04 03:02:01.123457Z", "0" * 32, {"a": 1}]
    return values[number % 10]


def test_every_plain_column_counts() -> None:
    source, row = source_with(10), SPECIMENS.create(picture=picture_file())
    seen = {signature_of(source, row)}
    for number in range(10):
        SPECIMENS.update(**{f"f{number}": changed(number)})
        seen.add(signature_of(source, row))
    assert len(seen) == 11


def test_it_is_the_md5_of_the_columns_in_order_of_their_lookups() -> None:
    class Titled(ImageSource):
        name = "titled"
        image = "picture"
        title = "name"

    poster = Poster.objects.create(name="røde vänner", picture=picture_file())
    text = "\x1f".join(["titled", "røde vänner", str(poster.picture)])
    expected = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    assert signature_of(Titled(Poster), poster) == expected


def nested(source: ImageSource) -> Any:
    """The same by Django's `Concat`, as earlier releases wrote it into ledgers."""
    text = TextField()
    parts: list[Any] = [Value(source.name, output_field=text)]
    for lookup in sorted(path.lookup for path in source.paths.values() if path.lookup):
        parts += [Value("\x1f", output_field=text)]
        parts += [Coalesce(Cast(lookup, text), Value("", output_field=text))]
    return MD5(Concat(*parts, output_field=text))


def test_a_ledger_of_an_earlier_release_is_up_to_date() -> None:
    source, row = source_with(2), SPECIMENS.create(picture=picture_file())
    earlier = SPECIMENS.annotate(found=nested(source)).values_list("found", flat=True)
    assert signature_of(source, row) == earlier.get()


def test_a_row_whose_signature_alone_is_another_is_not_embedded_again(use: Any) -> None:
    use(EMBEDDER={"BACKEND": "tests.shop.CountingEmbedder"})
    with registered(source_with(3)):
        SPECIMENS.create(picture=picture_file())
        work()
        embedder = get_embedder()
        assert isinstance(embedder, CountingEmbedder)
        before = embedder.documents
        Entry.objects.update(signature="written by another release")
        assert reconcile() == Drift(changed=1)
        work()
        assert embedder.documents == before
        assert reconcile() == Drift()


@pytest.mark.parametrize(
    "later",
    [
        {"shade": Filter("shade", type=str)},
        {"copies": "copies", "shade": Filter("shade", type=str)},
        {"copies": Filter("copies", type=str)},
        {"copies": ["copies", "price"]},
    ],
)
def test_a_filter_that_is_added_or_changed_marks_every_row(later: Any) -> None:
    def source(filters: Any) -> ImageSource:
        attributes = {"name": "p", "image": "picture", "filters": filters}
        return type("P", (ImageSource,), attributes)(Poster)  # type: ignore[no-any-return]

    Poster.objects.create(name="red sea", picture=picture_file())
    with registered(source({"copies": "copies"})):
        reconcile()
        work()
        assert reconcile() == Drift()
    with registered(source(later)):
        assert reconcile() == Drift(changed=1)
        work()
        assert reconcile() == Drift()
