"""The collage of query and candidates."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops

from mmsearch_app.rerankers.prompts.collage import LAYOUTS, PHI3_VISION, Grid, Layout, draw
from tests.pictures import near

GREEN, RED = (20, 160, 40), (210, 20, 30)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def plain(width: int, height: int, colour: tuple[int, int, int] = GREEN) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def cell(canvas: Image.Image, grid: Grid, place: int) -> Image.Image:
    row, column = divmod(place, grid.columns)
    left, top = column * grid.cell, row * grid.cell
    return canvas.crop((left, top, left + grid.cell, top + grid.cell))


def box_of(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The bounding box of a colour."""
    spread = ImageChops.difference(picture, Image.new("RGB", picture.size, colour)).convert("L")
    found = spread.point(lambda value: 255 if value < 8 else 0).getbbox()
    assert found is not None
    return found


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("count", [2, 3, 5, 9, 11, 15])
def test_every_candidate_is_whole_inside_its_own_cell(layout: Layout, count: int) -> None:
    grid = layout.choose(count + 1)
    pictures = [plain(300, 200, (10 + 15 * place, 200, 90)) for place in range(count)]

    canvas = draw(plain(200, 200, RED), pictures, labels=LETTERS[:count], grid=grid)

    assert canvas.size == (grid.columns * grid.cell, grid.rows * grid.cell)
    for place in range(count):
        found = box_of(cell(canvas, grid, place + 1), (10 + 15 * place, 200, 90))
        assert (found[2] - found[0]) / (found[3] - found[1]) == pytest.approx(1.5, abs=0.02)
        assert found[2] - found[0] >= 0.85 * grid.cell


@pytest.mark.parametrize("size", [(100, 1000), (1000, 100), (7, 5), (640, 640)])
def test_images_are_never_stretched(size: tuple[int, int]) -> None:
    grid = PHI3_VISION.choose(12)

    canvas = draw(plain(9, 9, RED), [plain(*size)], labels="A", grid=grid)

    left, top, right, bottom = box_of(cell(canvas, grid, 1), GREEN)
    assert (right - left) / (bottom - top) == pytest.approx(size[0] / size[1], rel=0.05)


def test_nothing_covers_an_image() -> None:
    grid = PHI3_VISION.choose(12)

    canvas = draw(plain(90, 90, RED), [plain(90, 90)], labels="A", grid=grid)

    shown = cell(canvas, grid, 1)
    inner = shown.crop(box_of(shown, GREEN))
    assert all(near(pixel, GREEN) for _, pixel in inner.getcolors(99999) or [])


def test_the_cells_of_the_phi3_vision_collage_are_its_crops() -> None:
    from mmsearch_app.rerankers.phi3_vision.pictures import CROP, count_tokens, fit

    grid = PHI3_VISION.choose(12)
    assert grid == Grid(columns=4, rows=3, cell=CROP)
    for small in PHI3_VISION.grids:
        canvas = Image.new("RGB", small.size, "white")
        assert fit(canvas, num_crops=16).size == small.size
        assert small.cell % CROP == 0
    assert count_tokens(1344, 1008) == 1921


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_labels_are_large_and_differ(layout: Layout) -> None:
    grid = layout.grids[-1]
    labels = LETTERS[: grid.places]

    canvas = draw(None, [None] * len(labels), labels=labels, grid=grid)

    bands = [cell(canvas, grid, place).crop((0, 0, grid.cell, 32)) for place in range(len(labels))]
    assert len({band.tobytes() for band in bands}) == len(labels)
    for band in bands:
        left, top, right, bottom = box_of(band, (255, 255, 255))
        assert bottom - top >= 18
        assert 0 < left < right < grid.cell


def test_the_query_has_its_own_frame_and_label() -> None:
    grid = PHI3_VISION.choose(12)
    canvas = draw(plain(90, 90), [plain(90, 90)], labels="A", grid=grid)

    asked, found = cell(canvas, grid, 0), cell(canvas, grid, 1)

    assert near(asked.getpixel((1, 200)), (0, 70, 200))
    assert not near(found.getpixel((1, 200)), (0, 70, 200))
    assert asked.getpixel((5, 5)) != found.getpixel((5, 5))


def test_without_a_query_image_candidates_begin_at_the_first_place() -> None:
    grid = PHI3_VISION.choose(4)

    canvas = draw(None, [plain(90, 90)], labels="A", grid=grid)

    assert near(cell(canvas, grid, 0).getpixel((336, 380)), GREEN)


def test_a_models_pixel_limit_is_respected() -> None:
    grid = PHI3_VISION.choose(12, max_pixels=500_000)

    width, height = grid.size
    assert width * height <= 500_000
    assert grid.places == 12


def test_more_images_than_places_are_refused() -> None:
    with pytest.raises(ValueError, match="has 16 places, not 17"):
        PHI3_VISION.choose(17)
