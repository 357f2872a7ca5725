"""The named colours of an object, on any background."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmsearch_app.embedders.starter.colours import colours_of, name_histogram, palette
from mmsearch_app.embedders.starter.foreground import find_object
from tests.embedders.starter.parts import Rows


def names_of(colours: Rows, *, count: int = 1) -> set[str]:
    names = list(palette().names)
    return {names[i] for i in np.argsort(-colours[: len(palette().lab)])[:count]}


def square(colour: str, background: str) -> Image.Image:
    image = Image.new("RGB", (100, 80), background)
    ImageDraw.Draw(image).rectangle((35, 25, 65, 60), fill=colour)
    return image


@pytest.mark.parametrize("background", ["white", "black", "#2668c4", "#f5cb34"])
def test_the_colour_is_that_of_the_object_and_not_of_the_background(background: str) -> None:
    assert names_of(colours_of(find_object(square("#cb2229", background)))) == {"red"}


def test_a_gradient_background_is_recognised() -> None:
    fade = np.linspace(150, 250, 100).astype(np.uint8)
    pixels = np.repeat(np.tile(fade, (80, 1))[..., None], 3, axis=2)
    pixels[25:60, 35:65] = (47, 140, 76)
    assert names_of(colours_of(find_object(Image.fromarray(pixels)))) == {"green"}


def test_a_white_object_on_white_is_white() -> None:
    image = Image.new("RGB", (100, 100), "#f8f8f7")
    ImageDraw.Draw(image).rectangle((30, 30, 70, 70), fill="#f3f3f2", outline="#c8c8c8")
    assert names_of(colours_of(find_object(image))) == {"white"}


@pytest.mark.parametrize("name", ["red", "navy", "beige", "teal", "burgundy", "olive", "off white"])
def test_the_name_of_a_colour_is_nearest_to_objects_of_that_colour(name: str) -> None:
    drawn = {"off white": "cream"}.get(name, name)
    shades = (
        "red",
        "navy",
        "beige",
        "teal",
        "burgundy",
        "olive",
        "cream",
        "orange",
        "pink",
        "grey",
    )
    wanted = name_histogram([name])
    table = (palette_row(shade) for shade in shades)
    found = [float(colours_of(find_object(square(hexed, "white"))) @ wanted) for hexed in table]
    best = shades[int(np.argmax(found))]
    assert best == drawn


def palette_row(name: str) -> str:
    text = files("mmsearch_app.embedders.starter").joinpath("data/colours.csv").read_text("utf-8")
    return "#" + next(
        line.split(",")[1] for line in text.splitlines() if line.startswith(f"{name},")
    )


def test_blue_finds_navy_after_blue_and_before_red() -> None:
    blue, navy, red = (name_histogram([name]) for name in ("blue", "navy", "red"))
    assert blue @ blue > blue @ navy > blue @ red + 0.2


def test_two_colours_are_found_together() -> None:
    image = square("#cb2229", "white")
    ImageDraw.Draw(image).rectangle((35, 42, 65, 60), fill="#2668c4")
    seen = colours_of(find_object(image))
    both = float(seen @ name_histogram(["red", "blue"]))
    assert both > max(float(seen @ name_histogram([name])) for name in ("red", "blue"))


def test_the_colour_of_a_garment_is_not_that_of_who_wears_it() -> None:
    image = Image.new("RGB", (100, 140), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((25, 35, 75, 90), fill="#1e1e20")
    for skin in ((38, 5, 62, 34), (30, 91, 45, 139), (55, 91, 70, 139)):
        draw.rectangle(skin, fill="#d9a07c")
    sight = find_object(image)
    black, tan = name_histogram(["black"]), name_histogram(["tan"])
    assert colours_of(sight) @ tan > colours_of(sight) @ black
    assert colours_of(sight, worn=1.0) @ black > colours_of(sight, worn=1.0) @ tan


def test_a_garment_in_the_colour_of_skin_keeps_its_colour() -> None:
    sight = find_object(square("#d9a07c", "white"))
    np.testing.assert_allclose(colours_of(sight, worn=1.0), colours_of(sight))
