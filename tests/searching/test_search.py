"""Searches by words, images and products."""

from __future__ import annotations

from io import BytesIO

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from mmsearch_app import search
from mmsearch_app.backends import get_embedder
from mmsearch_app.searching.build import build_query
from mmsearch_app.searching.query import Query
from mmsearch_app.searching.search import answer
from tests.shapes.models import Garment, Media, Poster
from tests.shop import Catalogue, EmbedderWithMoods, Sell, picture, picture_file
from tests.shop_kit import ANY, titles

pytestmark = pytest.mark.django_db


def test_words_find_the_title_that_contains_them(shop: Catalogue) -> None:
    assert titles(search("red mug"))[0] == "red mug"


@pytest.mark.parametrize("form", ["bytes", "file", "django file", "image"])
def test_an_image_in_any_format_finds_similar_images(shop: Catalogue, form: str) -> None:
    data = picture("blue", side=200)
    given = {
        "bytes": data,
        "file": BytesIO(data),
        "django file": ContentFile(data),
        "image": Image.open(BytesIO(data)),
    }[form]
    assert {hit.title for hit in search(image=given, limit=2).hits} == {"blue mug", "blue shirt"}


def test_image_and_words_together_find_products_with_both(shop: Catalogue) -> None:
    assert titles(search("shirt", image=picture("green")))[0] == "green shirt"


def test_a_product_without_words_finds_similar_products_but_not_itself(shop: Catalogue) -> None:
    found = titles(search(like=shop["red mug"]))
    assert "red mug" not in found
    assert len(found) == 5
    assert set(found[:3]) == {"red shirt", "green mug", "blue mug"}


def test_a_product_without_words_needs_no_model(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    embedder.down = True
    assert len(titles(search(like=shop["red mug"]))) == 5


def test_like_this_but_with_other_words(shop: Catalogue) -> None:
    assert titles(search("shirt", like=shop["red mug"]))[0] == "red shirt"


def test_a_given_image_replaces_the_products_image(shop: Catalogue) -> None:
    found = titles(search(image=picture("blue"), like=shop["red mug"]))
    assert set(found[:2]) == {"blue mug", "blue shirt"}
    assert "red mug" not in found


@pytest.mark.parametrize("how", ["pk", "text", "label"])
def test_a_product_may_be_given_by_its_key(shop: Catalogue, how: str) -> None:
    pk = shop["red mug"].pk
    like = {"pk": pk, "text": str(pk), "label": f"example_shop.product:{pk}"}[how]
    assert build_query(like=like).like == shop["red mug"]


@pytest.mark.parametrize("how", ["uuid", "text", "hex", "label"])
def test_a_product_may_be_given_by_its_uuid(how: str) -> None:
    poster = Poster.objects.create(name="sea", picture=picture_file())
    like = {
        "uuid": poster.pk,
        "text": str(poster.pk),
        "hex": poster.pk.hex,
        "label": f"shapes.poster:{poster.pk}",
    }[how]
    assert build_query(like=like).like == poster


def test_a_key_may_contain_a_colon() -> None:
    media = Media.objects.create(file=picture_file())
    coat = Garment.objects.create(code="size:xl", name="coat", photo=media)
    assert build_query(like="size:xl").like == coat
    assert build_query(like="shapes.garment:size:xl").like == coat


def test_a_product_that_is_not_indexed_yet_is_embedded(sell: Sell, shop: Catalogue) -> None:
    assert titles(search(like=sell("green lamp")))[0] in {"green mug", "green shirt"}


def test_unwanted_words_lower_the_score(shop: Catalogue) -> None:
    assert titles(search("red mug"))[0] == "red mug"
    assert titles(search("red mug", without="red"))[0] != "red shirt"
    ranked = titles(search("mug", without="red"))
    assert set(ranked[:2]) == {"green mug", "blue mug"}


def test_a_lone_surrogate_does_not_fail(shop: Catalogue) -> None:
    assert titles(search("red mug \ud83d"))[0] == "red mug"
    assert titles(search("red\0mug"))[0] == "red mug"


def test_pages_do_not_overlap_and_leave_nothing_out(shop: Catalogue) -> None:
    pages = [search("red mug", limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [title for page in pages for title in titles(page)] == titles(search("red mug"))
    assert [page.more for page in pages] == [True, True, False]


def test_a_page_after_the_last_is_empty(shop: Catalogue) -> None:
    found = search(ANY, offset=100)
    assert (found.hits, found.more) == ((), False)


def test_a_built_query_can_be_answered_again(shop: Catalogue) -> None:
    query = build_query(text="red mug", limit=2)
    assert isinstance(query, Query)
    assert titles(answer(query)) == titles(answer(query)) == titles(search("red mug", limit=2))


def test_a_query_with_a_vector_is_not_embedded_again(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    first = search("red mug", limit=2)
    before = embedder.queries
    assert first.query is not None
    assert titles(answer(first.query)) == titles(first)
    assert embedder.queries == before
    assert get_embedder() is embedder
