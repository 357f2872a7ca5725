"""A changed link or a renamed value marks the rows that depend on it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from example_shop.models import Category
from mmsearch_app import ImageSource
from mmsearch_app.testing import registered
from tests.shapes.models import Exhibition, Poster, Tag
from tests.shop import IMAGES, Sell, picture_file
from tests.shop_kit import due, settle

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("turned", [False, True])
def test_adding_a_tag_marks_the_poster_from_either_end(turned: bool) -> None:
    poster, tag = _poster(), Tag.objects.create(name="sea")
    settle()
    if turned:
        tag.posters.add(poster)
    else:
        poster.tags.add(tag)
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


@pytest.mark.parametrize("turned", [False, True])
def test_removing_a_tag_marks_the_poster_from_either_end(turned: bool) -> None:
    poster, tag = _poster(), Tag.objects.create(name="sea")
    poster.tags.add(tag)
    settle()
    if turned:
        tag.posters.remove(poster)
    else:
        poster.tags.remove(tag)
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


@pytest.mark.parametrize("turned", [False, True])
def test_clearing_tags_marks_the_poster_from_either_end(turned: bool) -> None:
    poster, tag = _poster(), Tag.objects.create(name="sea")
    poster.tags.add(tag)
    settle()
    if turned:
        tag.posters.clear()
    else:
        poster.tags.clear()
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


def _poster(name: str = "sea") -> Poster:
    return Poster.objects.create(name=name, picture=picture_file())


class Exhibited(ImageSource):
    name = "exhibited"
    image = "picture"
    filters: ClassVar = {"exhibition": "exhibitions.title"}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("action", ["add", "remove", "clear"])
def test_a_link_declared_on_the_other_side_marks_too(action: str, turned: bool) -> None:
    with registered(Exhibited(Poster)):
        poster, _other = _poster(), _poster("moon")
        show = Exhibition.objects.create(title="Waves")
        if action != "add":
            show.posters.add(poster)
        settle()
        links, end = (poster.exhibitions, show) if turned else (show.posters, poster)
        if action == "clear":
            links.clear()
        else:
            getattr(links, action)(end)
        assert due() == {f"exhibited:{poster.pk.hex}"}


def test_a_link_of_a_related_model_marks_the_rows_behind_it(sell: Sell) -> None:
    mug, _other = sell(), sell("blue mug")
    settle()
    mug.categories.add(Category.objects.create(name="Mugs", slug="mugs"))
    assert due() == {f"{IMAGES}:{mug.images.get().pk}"}


def test_renaming_a_filters_related_row_marks_the_rows_that_depend_on_it(db: None) -> None:
    poster, tag = _poster(), Tag.objects.create(name="sea")
    poster.tags.add(tag)
    settle()
    tag.save()
    assert due() == {f"shapes.poster:{poster.pk.hex}"}
