"""Searches that exclude images, so that products are found by their other images."""

from __future__ import annotations

import pytest

from mmsearch_app.indexes.base import Generation, Index
from tests.indexes.kit import AHEAD, NASTY, record, unit, where

NEAR, FAR = unit(1, 0.2, 0, 0), unit(1, 1, 0, 0)


@pytest.fixture
def stocked(index: Index, generation: Generation) -> tuple[Index, str]:
    """A mug with two images, and a cup ranked between them."""
    index.upsert(
        [
            record("front", AHEAD, product="mug", colour="red", price=5),
            record("back", FAR, product="mug", colour="blue", price=5),
            record("cup", NEAR, product="cup", colour="red", price=9),
        ],
        generation=generation.name,
    )
    return index, generation.name


def test_another_image_of_the_product_is_found_at_its_own_rank(stocked: tuple[Index, str]) -> None:
    index, name = stocked
    matches = index.search(AHEAD, generation=name, limit=5, exclude_ids=["front"])
    assert [(match.product, match.id) for match in matches] == [("cup", "cup"), ("mug", "back")]
    assert matches[1].score == pytest.approx(float(AHEAD @ FAR), abs=1e-3)


def test_a_product_without_another_image_is_not_found(stocked: tuple[Index, str]) -> None:
    index, name = stocked
    matches = index.search(AHEAD, generation=name, limit=5, exclude_ids=["front", "back"])
    assert [match.product for match in matches] == ["cup"]


def test_products_images_and_conditions_exclude_together(stocked: tuple[Index, str]) -> None:
    index, name = stocked
    matches = index.search(
        AHEAD,
        generation=name,
        limit=5,
        conditions=[where("colour", "in", "red", "blue"), where("price", "lte", 9)],
        exclude_products=["cup"],
        exclude_ids=["front"],
    )
    assert [match.id for match in matches] == ["back"]


def test_any_text_can_be_excluded(index: Index, generation: Generation) -> None:
    keys = [text for text in NASTY if text]
    index.upsert([record(key, product="one") for key in keys], generation=generation.name)
    for key in keys:
        others = [other for other in keys if other != key]
        matches = index.search(AHEAD, generation=generation.name, limit=2, exclude_ids=others)
        assert [match.id for match in matches] == [key]


def test_thousands_can_be_excluded(stocked: tuple[Index, str]) -> None:
    index, name = stocked
    strangers = [f"shop.Image:{number}" for number in range(5_000)]
    matches = index.search(AHEAD, generation=name, limit=5, exclude_ids=[*strangers, "front"])
    assert [match.id for match in matches] == ["cup", "back"]
