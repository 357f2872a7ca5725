"""Small objects are enlarged, and the classifier's constant bias is subtracted."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from example_shop.catalogue import Item
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.embedders.starter.foreground import find_object, frame_object
from mmsearch_app.inference.content import Content
from tests.embedders.starter.parts import needs_weights, pick, picture


def disc(box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", (400, 300), "white")
    ImageDraw.Draw(image).ellipse(box, fill="#2668c4")
    return image


def test_a_small_object_fills_its_frame() -> None:
    image = disc((250, 180, 330, 260))
    near, sight = frame_object(image, find_object(image))
    assert near.width == pytest.approx(near.height, abs=8)
    assert 80 <= near.width <= 110
    assert (sight.weights > 0).mean() > 0.45


def test_image_and_foreground_are_cropped_to_the_same_frame() -> None:
    image = disc((20, 20, 90, 90))
    near, sight = frame_object(image, find_object(image))
    drawn = np.asarray(near.resize(sight.weights.shape[::-1]))[..., 0] < 128
    assert ((sight.weights > 0) == drawn).mean() > 0.8


@pytest.mark.parametrize("box", [(30, 10, 370, 290), (0, 0, 399, 299)])
def test_an_image_with_a_large_object_is_not_cropped(box: tuple[int, int, int, int]) -> None:
    image = disc(box)
    sight = find_object(image)
    near, seen = frame_object(image, sight)
    assert near is image
    assert seen is sight


@needs_weights
def test_a_small_object_is_similar_to_the_same_object_enlarged(
    embedder: StarterEmbedder, goods: list[Item]
) -> None:
    near = picture(pick(goods, kind="mug", colour="red", pattern="plain"))
    corner = near.getpixel((0, 0))
    assert corner is not None
    far = Image.new("RGB", (640, 480), corner)
    far.paste(near, (30, 60))
    rows = embedder.embed_documents([Content(image=near), Content(image=far)])
    assert rows[0] @ rows[1] > 0.9


@needs_weights
def test_no_class_is_preferred_in_an_empty_image(embedder: StarterEmbedder) -> None:
    from mmsearch_app.embedders.starter.vision import BLANK

    blank = [Image.new("RGB", (224, 224), grey) for grey in BLANK]
    assert embedder._models is not None
    sights = [find_object(image) for image in blank]
    shown = embedder._models.vision.see(blank, sights, batch=4).posteriors
    assert np.log(shown).mean(axis=0).std() < 1e-3
