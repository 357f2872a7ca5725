"""An object in another colour, with its light, its prints and its background."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from example_shop.catalogue import Item
from mmsearch_app.embedders.starter.colours import lab_to_srgb, palette, srgb_to_lab
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.embedders.starter.foreground import find_object
from mmsearch_app.embedders.starter.repaint import main_colour, repaint
from mmsearch_app.inference.content import Content
from tests.embedders.starter.parts import needs_weights, pick, picture


def test_lab_and_srgb_are_inverse() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(lab_to_srgb(srgb_to_lab(pixels)), pixels)


def shirt() -> Image.Image:
    image = Image.new("RGB", (120, 120), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((25, 20, 95, 100), fill="#2668c4")
    draw.rectangle((25, 60, 95, 100), fill="#1f5aae")
    draw.ellipse((50, 35, 62, 47), fill="#f5cb34")
    return image


def test_the_main_colour_changes_and_shadow_print_and_background_stay() -> None:
    image = shirt()
    red = repaint(image, find_object(image), palette().names["red"])
    lit, shaded, printed, behind = (
        np.array(red.getpixel(at)) for at in ((30, 50), (30, 80), (56, 41), (5, 5))
    )
    np.testing.assert_allclose(lit, (0xCB, 0x22, 0x29), atol=25)
    assert lit.sum() > shaded.sum()
    np.testing.assert_allclose(printed, (0xF5, 0xCB, 0x34), atol=25)
    np.testing.assert_array_equal(behind, 255)


def test_an_object_without_a_main_colour_stays_as_it_is() -> None:
    image = Image.new("RGB", (120, 120), "white")
    for x, colour in enumerate(("#2668c4", "#cb2229", "#2f8c4c", "#f5cb34")):
        ImageDraw.Draw(image).rectangle((20 + 20 * x, 20, 39 + 20 * x, 100), fill=colour)
    sight = find_object(image)
    assert main_colour(sight)[1] < 0.5
    assert repaint(image, sight, palette().names["pink"]) is image


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (900, 2)])
def test_an_image_of_any_size_is_repainted(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "navy")
    assert repaint(image, find_object(image), palette().names["red"]).mode == "RGB"


@needs_weights
def test_a_picture_in_another_colour_is_seen_like_the_product_in_that_colour(
    embedder: StarterEmbedder, goods: list[Item]
) -> None:
    blue, red = (
        picture(pick(goods, kind="hoodie", colour=colour, pattern="plain"))
        for colour in ("blue", "red")
    )
    asked = embedder._see([Content(image=blue)] * 2, ["", "red"])
    target = embedder._see([Content(image=red)])[0]
    assert target is not None
    before, after = (float(b.texture @ target.texture) for b in asked if b is not None)
    assert after > before
