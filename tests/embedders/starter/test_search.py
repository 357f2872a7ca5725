"""What the starter embedder finds by words, by an image, and by both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from example_shop.catalogue import Item, draw_leopard
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.inference.content import Content
from tests.embedders.starter.parts import KINDS, SIDE, Shop, find, needs_weights, pick, picture


@needs_weights
@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_asked_for_in_words_comes_first_without_titles(
    embedder: StarterEmbedder, untitled: Shop, kind: str
) -> None:
    assert [item.kind for item in find(untitled, embedder, text=kind)[:3]] == [kind] * 3


@needs_weights
def test_a_red_mug_in_words_finds_every_red_mug_first(
    embedder: StarterEmbedder, titled: Shop
) -> None:
    red = [item for item in titled[0] if (item.kind, item.colour) == ("mug", "red")]
    found = find(titled, embedder, text="red mug")[: len(red)]
    assert {item.sku for item in found} == {item.sku for item in red}


@needs_weights
@pytest.mark.parametrize("shop", ["titled", "untitled"])
def test_but_in_red_keeps_the_kind_and_the_stripes(
    embedder: StarterEmbedder, shop: str, request: Any
) -> None:
    goods, rows = request.getfixturevalue(shop)
    shown = pick(goods, kind="mug", colour="blue", pattern="striped")
    found = find((goods, rows), embedder, text="but in red", image=picture(shown, view=1))
    assert (found[0].kind, found[0].colour, found[0].pattern) == ("mug", "red", "striped")
    assert {(item.kind, item.colour) for item in found[:3]} == {("mug", "red")}


@needs_weights
def test_a_phone_case_with_this_takes_the_kind_from_words_and_the_look_from_the_image(
    embedder: StarterEmbedder, titled: Shop
) -> None:
    found = find(titled, embedder, text="a phone case with this", image=draw_leopard(SIDE))
    leopard = sum((i.kind, i.pattern) == ("phone case", "leopard") for i in titled[0])
    assert {(i.kind, i.pattern) for i in found[:leopard]} == {("phone case", "leopard")}
    assert {item.kind for item in found[:5]} == {"phone case"}


@needs_weights
def test_an_image_alone_finds_the_other_view_of_its_product_first(
    embedder: StarterEmbedder, untitled: Shop
) -> None:
    shown = [pick(untitled[0], kind=kind, pattern="striped") for kind in KINDS]
    found = [find(untitled, embedder, image=picture(item, view=1))[0] for item in shown]
    assert [item.sku for item in found] == [item.sku for item in shown]


@needs_weights
def test_a_pattern_in_words_is_preferred_to_the_images_own(
    embedder: StarterEmbedder, titled: Shop
) -> None:
    shown = pick(titled[0], kind="hoodie", pattern="plain", colour="blue")
    found = find(titled, embedder, text="but striped", image=picture(shown))
    assert (found[0].kind, found[0].pattern) == ("hoodie", "striped")


@needs_weights
@pytest.mark.parametrize("pattern", ["striped", "dotted", "plain"])
def test_a_pattern_that_can_be_drawn_is_found_without_titles(
    embedder: StarterEmbedder, untitled: Shop, pattern: str
) -> None:
    found = find(untitled, embedder, text=f"{pattern} cushion")
    assert (found[0].kind, found[0].pattern) == ("cushion", pattern)


@needs_weights
def test_an_unwanted_colour_is_ranked_lower(embedder: StarterEmbedder, untitled: Shop) -> None:
    shown = picture(pick(untitled[0], kind="mug", colour="red", pattern="plain"))
    before, after = (
        find(untitled, embedder, image=shown, text=t)[:3] for t in ("", "but not in red")
    )
    assert before[0].colour == "red"
    assert {item.kind for item in after} == {"mug"}
    assert after[0].colour != "red"


@needs_weights
@pytest.mark.parametrize("text", ["no stripes", "ohne Streifen", "sans rayures", "not striped"])
def test_words_that_only_refuse_a_pattern_find_others_first(
    embedder: StarterEmbedder, titled: Shop, text: str
) -> None:
    found = find(titled, embedder, text=text)
    striped = [at for at, item in enumerate(found) if item.pattern == "striped"]
    assert striped[0] > len(found) // 2


@needs_weights
@pytest.mark.parametrize("shop", ["titled", "untitled"])
def test_a_refused_pattern_is_ranked_lower(
    embedder: StarterEmbedder, shop: str, request: Any
) -> None:
    goods = request.getfixturevalue(shop)
    mugs = [item.kind for item in goods[0]].count("mug")
    found = find(goods, embedder, text="mug without stripes")[:mugs]
    assert {item.kind for item in found[:5]} == {"mug"}
    assert "striped" not in {item.pattern for item in found[:5]}


@needs_weights
@pytest.mark.parametrize(
    "text", ["cheaper", "something like this", "darker, please", "billiger, bitte"]
)
def test_a_wish_that_no_image_shows_changes_nothing(
    embedder: StarterEmbedder, goods: list[Item], text: str
) -> None:
    shown = picture(goods[0])
    rows = embedder.embed_queries([Content(image=shown), Content(image=shown, text=text)])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)


@needs_weights
@pytest.mark.parametrize(
    ("text", "name"),
    [("a cup of coffee", "coffee"), ("a cat", "chelsea"), ("motorbike", "motorcycle_left")],
)
def test_photographs_are_found_by_words(embedder: StarterEmbedder, text: str, name: str) -> None:
    data = pytest.importorskip("skimage.data", reason="scikit-image has the photographs")
    names = ["coffee", "chelsea", "rocket", "astronaut", "hubble_deep_field"]
    shown = [Image.fromarray(getattr(data, name)()) for name in names]
    shown.append(Image.fromarray(data.stereo_motorcycle()[0]))
    rows = embedder.embed_documents([Content(image=image) for image in shown])
    best = int(np.argmax(rows @ embedder.embed_queries([Content(text=text)])[0]))
    assert [*names, "motorcycle_left"][best] == name
