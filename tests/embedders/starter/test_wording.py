"""Reading the words of a query."""

from __future__ import annotations

import pytest

from mmsearch_app.embedders.starter.wording import Wish, read_wish


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("red mug", Wish(colours=("red",), kind="mug")),
        ("But in RED!", Wish(colours=("red",))),
        ("but not in red", Wish(unwanted=("red",))),
        ("not red but blue", Wish(colours=("blue",), unwanted=("red",))),
        ("anything but red", Wish(unwanted=("red",))),
        ("in blue instead of red", Wish(colours=("blue",), unwanted=("red",))),
        ("no red or pink", Wish(unwanted=("red", "pink"))),
        ("navy blue and white", Wish(colours=("navy blue", "white"))),
        ("off-white t-shirt", Wish(colours=("off white",), kind="t-shirt")),
        ("a blue-striped mug", Wish(colours=("blue",), patterns="striped", kind="mug")),
        ("a phone case with this image theme", Wish(kind="phone case")),
        ("a wine glass", Wish(kind="wine glass")),
        ("but in wine", Wish(colours=("wine",))),
        ("without logo in blue", Wish(colours=("blue",), refused="logo")),
        ("but darker and cheaper, please", Wish()),
        ("polka dot dress", Wish(patterns="polka dot", kind="dress")),
        ("like this but striped", Wish(patterns="striped")),
        ("not striped", Wish(refused="striped")),
        ("no red stripes", Wish(unwanted=("red",), refused="stripes")),
        ("rote Tasse ohne Streifen", Wish(colours=("red",), kind="mug", refused="stripes")),
        ("un mug, mais pas en bleu", Wish(kind="mug", unwanted=("blue",))),
        ("", Wish()),
    ],
)
def test_words_are_split_into_attributes(text: str, wish: Wish) -> None:
    assert read_wish(text) == wish
