"""Rows are marked by every save that their paths depend on, without `depends_on`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_shop.models import Category
from mmsearch_app import ImageSource, mark
from mmsearch_app.indexing import receivers
from mmsearch_app.testing import registered
from tests.shapes.models import FramedPoster, Garment, Label, Media, Offer, Placement, Poster, Shelf
from tests.shop import Sell, picture_file
from tests.shop_kit import due, settle

pytestmark = pytest.mark.django_db


class Offered(ImageSource):
    name = "offered"
    image = "picture"
    filters: ClassVar = {
        "price": "offers.price",
        "label": "offers.label.title",
        "shelf": "shelves.name",
    }


class Worn(ImageSource):
    name = "worn"
    image = "photo.file"
    title = "name"


class Framed(ImageSource):
    name = "framed"
    image = "picture"
    title = "name"


class OfFrames(ImageSource):
    """Offers whose title is that of a poster, which may be a framed one."""

    name = "of-frames"
    image = "poster.picture"
    title = "poster.name"


def posters(count: int = 2) -> list[Poster]:
    made = [Poster.objects.create(name=f"sea {n}", picture=picture_file()) for n in range(count)]
    settle()
    return made


@pytest.fixture
def offered() -> Iterator[None]:
    with registered(Offered(Poster)):
        yield


def marked(name: str = "offered") -> set[str]:
    return {key.partition(":")[2] for key in due() if key.startswith(f"{name}:")}


def test_a_file_replaced_in_a_media_library_marks_all_rows_that_show_it(db: None) -> None:
    with registered(Worn(Garment)):
        media = Media.objects.create(file=picture_file())
        for code in ("a", "b"):
            Garment.objects.create(code=code, name=code, photo=media)
        settle()
        media.save()
        assert marked("worn") == {"a", "b"}
        settle()
        media.delete()
        assert marked("worn") == {"a", "b"}


@pytest.mark.usefixtures("offered")
def test_a_row_that_nothing_leads_back_from_marks_those_that_point_to_it() -> None:
    poster, _other = posters()
    label = Label.objects.create(title="new")
    Offer.objects.create(poster=poster, label=label)
    settle()
    label.save()
    assert marked() == {poster.pk.hex}


@pytest.mark.usefixtures("offered")
def test_a_save_of_other_fields_marks_nothing() -> None:
    poster, _other = posters()
    label = Label.objects.create(title="new")
    offer = Offer.objects.create(poster=poster, label=label)
    settle()
    label.save(update_fields=["seen"])
    assert marked() == set()
    offer.save(update_fields=["price"])
    assert marked() == {poster.pk.hex}


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("fields", [None, ["poster"], ["poster_id"]])
def test_a_row_that_moves_marks_both_ends(fields: list[str] | None) -> None:
    one, other, _third = posters(3)
    offer = Offer.objects.create(poster=one)
    settle()
    offer.poster = other
    offer.save(update_fields=fields)
    assert marked() == {one.pk.hex, other.pk.hex}


@pytest.mark.usefixtures("offered")
def test_a_new_and_a_deleted_row_mark_their_end() -> None:
    poster, _other = posters()
    offer = Offer.objects.create(poster=poster)
    assert marked() == {poster.pk.hex}
    settle()
    offer.delete()
    assert marked() == {poster.pk.hex}


@pytest.mark.usefixtures("offered")
def test_rows_of_a_table_of_links_mark_their_ends() -> None:
    one, other = posters()
    shelf = Shelf.objects.create(name="top")
    settle()
    placement = Placement.objects.create(poster=one, shelf=shelf)
    assert marked() == {one.pk.hex}
    settle()
    placement.poster = other
    placement.save()
    assert marked() == {one.pk.hex, other.pk.hex}
    settle()
    shelf.save()
    assert marked() == {other.pk.hex}
    settle()
    shelf.delete()
    assert marked() == {other.pk.hex}
    settle()
    shelf = Shelf.objects.create(name="low")
    shelf.posters.add(one)  # bulk_create, which sends m2m_changed alone
    assert marked() == {one.pk.hex}


def test_a_save_through_the_parent_marks_the_row_of_the_child(db: None) -> None:
    with registered(Framed(FramedPoster)):
        framed = FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
        Poster.objects.create(name="other", picture=picture_file())
        settle()
        Poster.objects.get(pk=framed.pk).save()
        assert marked("framed") == {framed.pk.hex}
        settle()
        framed.save()
        assert marked("framed") == {framed.pk.hex}


@pytest.mark.parametrize("model", [Poster, FramedPoster])
def test_a_save_through_any_table_of_a_related_row_marks(model: type[Poster]) -> None:
    with registered(OfFrames(Offer)):
        framed = FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
        offer = Offer.objects.create(poster=framed)
        settle()
        model.objects.get(pk=framed.pk).save()
        assert marked("of-frames") == {str(offer.pk)}


def test_a_renamed_category_marks_nothing_if_only_its_key_is_kept(sell: Sell) -> None:
    mugs = Category.objects.create(name="Mugs", slug="mugs")
    mug = sell()
    mug.categories.add(mugs)
    settle()
    mugs.save()
    assert due() == set()
    mugs.delete()
    assert len(due()) == 1


def test_a_declared_path_that_a_filter_follows_too_costs_one_query(sell: Sell) -> None:
    product = sell(pictures=3)
    with CaptureQueriesContext(connection) as queries:
        product.save()
    assert len(queries) == 3


@pytest.mark.usefixtures("offered")
def test_any_number_of_rows_is_marked_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "_PAGE", 2)
    shelf = Shelf.objects.create(name="top")
    for poster in posters(5):
        Placement.objects.create(poster=poster, shelf=shelf)
    settle()
    assert mark(shelf) == 5
    assert len(marked()) == 5


@pytest.mark.usefixtures("offered")
def test_rows_of_a_table_of_links_can_be_marked() -> None:
    one, other = posters()
    shelf = Shelf.objects.create(name="top")
    for poster in (one, other):
        Placement.objects.create(poster=poster, shelf=shelf)
    settle()
    assert mark(Placement.objects.filter(poster=one)) == 1
    assert marked() == {one.pk.hex}


@pytest.mark.usefixtures("offered")
def test_a_save_of_a_new_row_that_nothing_points_to_yet_costs_no_query() -> None:
    for row in (Label(title="new"), Shelf(name="top")):
        with CaptureQueriesContext(connection) as queries:
            row.save()
        assert len(queries) == 1
