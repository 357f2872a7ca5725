"""Questions that are refused, and the messages."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.utils.translation import gettext_lazy

from example_shop.models import Category, Product, ProductImage
from mmsearch_app import search
from mmsearch_app.backends import get_index
from mmsearch_app.searching.query import InvalidQuery
from tests.shop import Catalogue, Sell
from tests.shop_kit import ANY, work_again

pytestmark = pytest.mark.django_db


def field_of(caught: pytest.ExceptionInfo[InvalidQuery]) -> str:
    assert str(caught.value).endswith(".")
    return caught.value.field


ODD = ["nope", "0", -1, 10**30, "a\0b", "\ud800", "shop.nope:1", "9" * 400]


@pytest.mark.parametrize("like", [*ODD, *(f"shapes.garment:{key}" for key in ODD)])
def test_a_missing_product_is_reported(shop: Catalogue, like: Any) -> None:
    with pytest.raises(InvalidQuery, match="not available") as caught:
        search(like=like)
    assert field_of(caught) == "like"


def test_a_hidden_product_cannot_be_given_by_its_key(shop: Catalogue) -> None:
    Product.objects.filter(pk=shop["red mug"].pk).update(is_public=False)
    with pytest.raises(InvalidQuery, match="not available") as caught:
        search(like=shop["red mug"].pk)
    assert str(shop["red mug"].pk) not in str(caught.value)


def test_a_product_without_images_needs_words(sell: Sell, shop: Catalogue) -> None:
    with pytest.raises(InvalidQuery) as caught:
        search(like=sell("black mug", pictures=0))
    assert field_of(caught) == "like"


def test_wanted_and_unwanted_words_that_cancel_out_are_reported(
    shop: Catalogue, use: Callable[..., None]
) -> None:
    use(WITHOUT_WEIGHT=1.0)
    work_again()
    with pytest.raises(InvalidQuery, match="cancel each other out") as caught:
        search("red mug", without="red mug")
    assert field_of(caught) == "without"


@pytest.mark.parametrize("question", [{}, {"text": "  "}, {"text": None}, {"without": "red"}])
def test_an_empty_question_is_refused(shop: Catalogue, question: Any) -> None:
    with pytest.raises(InvalidQuery, match="Give a picture, words, or a product"):
        search(**question)


def test_words_have_a_limit(shop: Catalogue) -> None:
    assert search("x" * 500).hits
    with pytest.raises(InvalidQuery, match="At most 500 characters") as caught:
        search("x" * 501)
    assert field_of(caught) == "text"


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"not a picture",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "/etc/passwd",
        "http://a.b/c.png",
        Path("/etc/passwd"),
        StringIO("words"),
        ProductImage().original,
        42,
    ],
)
def test_a_file_that_is_not_an_image_is_refused_with_a_sentence(
    shop: Catalogue, image: Any
) -> None:
    with pytest.raises(InvalidQuery) as caught:
        search(image=image)
    assert field_of(caught) == "image"


@pytest.mark.parametrize("name", ["text", "without"])
@pytest.mark.parametrize("value", [5, ["a"], {"a": 1}, b"red", True])
def test_words_that_are_not_text_are_refused(shop: Catalogue, name: str, value: Any) -> None:
    with pytest.raises(InvalidQuery, match=f"{name} takes words, not") as caught:
        search(**{"text": "mug", name: value})
    assert field_of(caught) == name


def test_words_may_be_lazy_translations(shop: Catalogue) -> None:
    words: Any = gettext_lazy("red mug")
    assert search(words, limit=1).hits[0].title == "red mug"


@pytest.mark.parametrize("filters", ["price", 5, [("price", 1)]])
def test_filters_must_be_a_mapping(shop: Catalogue, filters: Any) -> None:
    with pytest.raises(InvalidQuery, match="a mapping of names to values") as caught:
        search("mug", filters=filters)
    assert field_of(caught) == "filters"


def test_the_name_of_a_filter_must_be_text(shop: Catalogue) -> None:
    filters: Any = {5: 1}
    with pytest.raises(InvalidQuery, match="There is no filter '5'"):
        search("mug", filters=filters)


@pytest.mark.parametrize(
    "words", ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "/etc/passwd"]
)
def test_words_that_look_like_a_url_open_nothing(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was opened")

    index = get_index()
    assert index.live()
    for name in ("socket.socket", "builtins.open"):
        monkeypatch.setattr(name, refuse)
    found = search(words, without=words + "?")
    monkeypatch.undo()
    assert len(found.hits) == 6


@pytest.mark.parametrize("limit", [0, -1, 101, "5", 2.0, True, 10**30])
def test_a_limit_out_of_range_is_refused(shop: Catalogue, limit: Any) -> None:
    with pytest.raises(InvalidQuery, match="limit must be a whole number from 1 to 100") as caught:
        search(ANY, limit=limit)
    assert field_of(caught) == "limit"


@pytest.mark.parametrize("offset", [-1, 1001, "5", 1.5])
def test_an_offset_out_of_range_is_refused(shop: Catalogue, offset: Any) -> None:
    with pytest.raises(InvalidQuery, match="from 0 to 1000"):
        search(ANY, offset=offset)


def test_something_that_is_not_a_product_is_refused_even_with_words(shop: Catalogue) -> None:
    category = Category.objects.create(name="Mugs of ours", slug="mugs-of-ours")
    with pytest.raises(InvalidQuery, match=r"takes a product .* not example_shop.Category"):
        search("mug", like=category)
