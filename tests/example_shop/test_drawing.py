"""The drawn catalogue: what is on sale, and that its pictures show it."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from example_shop.catalogue import COLOURS, VIEWS, Item, draw, draw_leopard, items
from example_shop.catalogue.patterns import PATTERNS, Cloth, dye

ITEMS = items()
KINDS = sorted({item.kind for item in ITEMS})
SMALL = 160
DIGEST = """
import hashlib
from example_shop.catalogue import draw, items
digest = hashlib.sha256(repr(items()).encode())
for item in items()[::60]:
    digest.update(draw(item, view=1, size=96).tobytes())
print(digest.hexdigest())
"""


def first(kind: str, pattern: str = "plain") -> Item:
    return next(item for item in ITEMS if (item.kind, item.pattern) == (kind, pattern))


def pixels(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image, float)


def digest_in_process(seed: str) -> str:
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", DIGEST]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def test_the_shop_sells_hundreds_of_products_of_many_kinds() -> None:
    assert len(ITEMS) >= 320
    assert len(KINDS) >= 14


def test_stock_numbers_and_titles_are_unique() -> None:
    assert len({item.sku for item in ITEMS}) == len(ITEMS)
    assert len({item.title for item in ITEMS}) == len(ITEMS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_in_many_colours_and_patterns(kind: str) -> None:
    mine = [item for item in ITEMS if item.kind == kind]
    assert len({item.colour for item in mine}) >= 8
    assert len({item.pattern for item in mine}) >= 5
    assert {"plain", "striped", "floral", "leopard"} <= {item.pattern for item in mine}


def test_every_pattern_and_colour_is_one_that_can_be_drawn() -> None:
    assert {item.pattern for item in ITEMS} == {"plain", *PATTERNS}
    named = {name for item in ITEMS for name in (item.colour, item.accent) if name}
    assert named <= set(COLOURS)


def test_a_question_has_several_answers_and_near_misses() -> None:
    mugs = Counter(item.colour for item in ITEMS if item.kind == "mug")
    assert mugs["red"] >= 2
    assert len(mugs) >= 8


def test_some_titles_leave_the_look_to_the_picture() -> None:
    printed = [item for item in ITEMS if item.pattern != "plain"]
    silent = [item for item in printed if item.colour not in item.title.lower()]
    assert 0.05 < len(silent) / len(printed) < 0.5


def test_prices_are_positive_and_some_products_are_sold_out() -> None:
    assert all(item.price > 0 for item in ITEMS)
    assert 0 < sum(item.stock == 0 for item in ITEMS) < len(ITEMS) // 5


def test_items_survive_the_way_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(ITEMS)) == ITEMS  # noqa: S301 - our own bytes


def test_items_and_pictures_do_not_depend_on_the_hash_seed() -> None:
    assert digest_in_process("1") == digest_in_process("2")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_item_gives_the_same_pixels(kind: str) -> None:
    item = first(kind, "leopard")
    one, two = (hashlib.sha256(draw(item, view=0, size=SMALL).tobytes()) for _ in range(2))
    assert one.digest() == two.digest()


@pytest.mark.parametrize("kind", KINDS)
def test_the_two_views_of_a_product_differ(kind: str) -> None:
    front, other = (pixels(draw(first(kind), view=view, size=SMALL)) for view in range(VIEWS))
    changed = np.abs(front - other).max(2) > 24
    assert changed.mean() > 0.1


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
@pytest.mark.parametrize("kind", KINDS)
def test_a_pattern_shows_on_the_product(kind: str, pattern: str) -> None:
    printed = replace(first(kind), colour="white", accent="blue", pattern=pattern)
    plain = replace(printed, pattern="plain")
    with_print, without = (pixels(draw(item, view=0, size=SMALL)) for item in (printed, plain))
    assert (np.abs(with_print - without).max(2) > 40).mean() > 0.01


@pytest.mark.parametrize("size", [97, 320, 640])
def test_a_picture_has_the_size_that_was_asked_for(size: int) -> None:
    image = draw(first("mug"), view=0, size=size)
    assert (image.size, image.mode) == ((size, size), "RGB")


def test_an_unknown_view_is_refused() -> None:
    with pytest.raises(ValueError, match="views 0 and 1"):
        draw(first("mug"), view=2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_median_colour_of_a_plain_product_is_the_named_one(kind: str) -> None:
    table = lab(np.array(list(COLOURS.values()), float))
    for item in (item for item in ITEMS if item.kind == kind and item.pattern == "plain"):
        median = lab(np.median(coloured_pixels(item), 0))
        nearest = list(COLOURS)[int(np.linalg.norm(table - median, axis=1).argmin())]
        assert nearest == item.colour, (item.sku, median)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB of sRGB colours in 0..255, for differences as people see them."""
    c = rgb / 255
    linear = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    f = np.cbrt(linear @ to_xyz.T / (0.9505, 1, 1.089))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def coloured_pixels(item: Item) -> NDArray[np.float64]:
    """The pixels that a change of the product's colour changes: its own surface."""
    other = "red" if item.colour in ("blue", "sky blue", "navy", "turquoise") else "blue"
    mine = pixels(draw(item, view=0, size=SMALL))
    recoloured = pixels(draw(replace(item, colour=other), view=0, size=SMALL))
    return np.asarray(mine[np.abs(mine - recoloured).max(2) > 24])


def test_the_backdrop_is_light_and_soft() -> None:
    for kind in KINDS:
        border = pixels(draw(first(kind), view=0, size=SMALL))[0]
        assert border.min() > 200, kind


def test_the_leopard_wears_the_leopard_print() -> None:
    coat = pixels(draw_leopard(size=320))[150:270, 60:240].reshape(-1, 3)
    u, v = np.meshgrid(np.arange(180, dtype=np.float32), np.arange(120, dtype=np.float32))
    cloth = dye(Cloth(colour="tan", accent="black", pattern="leopard"), u, v, span=150)
    printed = (cloth.reshape(3, -1) * 255).T
    dark_coat, dark_print = ((p.sum(1) < 230).mean() for p in (coat, printed))
    assert dark_coat == pytest.approx(dark_print, abs=0.12)
    assert np.median(coat, 0) == pytest.approx(np.median(printed, 0), abs=48)


def test_the_leopard_is_the_same_every_time() -> None:
    assert draw_leopard(size=128).tobytes() == draw_leopard(size=128).tobytes()
