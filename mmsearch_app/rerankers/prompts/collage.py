"""The query and its candidates as one picture, laid out for the eyes of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

__all__ = [
    "GEMMA",
    "GENERIC",
    "IDEFICS",
    "LAYOUTS",
    "PHI3_VISION",
    "SMOL",
    "Grid",
    "Layout",
    "draw",
]

QUERY = "QUERY"
BLUE = (0, 70, 200)
DARK = (30, 30, 30)
LINE = (190, 190, 190)
BAND = 9
"""A cell's height divided by that of the band with its label."""
MIN_BAND = 32
"""Pixels of a band: less than two patches of 14 and a letter is a blur to the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Square cells in rows; the sizes of a canvas are columns × cell and rows × cell."""

    columns: int
    rows: int
    cell: int
    """Pixels of a side."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.columns * self.cell, self.rows * self.cell

    @property
    def places(self) -> int:
        """How many pictures it takes, the query's included."""
        return self.columns * self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Grids for one family of models, the one with the fewest places first."""

    name: str
    grids: tuple[Grid, ...]
    window: int = 9
    """How many candidates are shown at once, unless a setting says otherwise."""

    @property
    def capacity(self) -> int:
        """How many candidates fit beside a query picture."""
        return self.grids[-1].places - 1

    def choose(self, pictures: int, *, max_pixels: int | None = None) -> Grid:
        """The grid with the largest cells for so many pictures, scaled down to `max_pixels`.

        Raises ValueError when there are more pictures than places.
        """
        for grid in self.grids:
            if grid.places >= pictures:
                return _shrink(grid, max_pixels)
        msg = f"The layout {self.name!r} has {self.grids[-1].places} places, not {pictures}."
        raise ValueError(msg)


def _grids(name: str, *sizes: tuple[int, int, int], window: int = 9) -> Layout:
    grids = tuple(Grid(columns=c, rows=r, cell=cell) for c, r, cell in sizes)
    return Layout(name=name, grids=grids, window=window)


PHI3_VISION = _grids("phi3-vision", (2, 2, 672), (4, 3, 336), (4, 4, 336))
"""The crops that Phi-3 Vision cuts are the cells (or quarters of them): nothing is cut."""
IDEFICS = _grids("idefics3", (2, 2, 728), (4, 3, 364), (4, 4, 364))
"""Idefics3 cuts its picture of 1456 pixels into tiles of 364."""
SMOL = _grids("smolvlm2", (2, 2, 768), (4, 3, 384), (4, 4, 384))
"""SmolVLM2 2.2B: 1536 pixels in tiles of 384."""
GEMMA = _grids("gemma3", (2, 2, 448), (3, 3, 298), (4, 4, 224), window=8)
"""Gemma 3 sees one square of 896 pixels; a tenth picture would make all cells a quarter less."""
GENERIC = _grids("generic", (2, 2, 512), (3, 3, 352), (4, 3, 320), (4, 4, 320), (5, 5, 256))
"""Models that scale pictures by themselves, in multiples of 32 (Qwen-VL)."""
LAYOUTS = {layout.name: layout for layout in (PHI3_VISION, IDEFICS, SMOL, GEMMA, GENERIC)}


def draw(
    query: Image.Image | None,
    candidates: Sequence[Image.Image | None],
    *,
    labels: Sequence[str],
    grid: Grid,
) -> Image.Image:
    """A canvas of `grid.size`, RGB: the query first, in a blue frame, then the candidates.

    Each picture is fitted into its cell below a band with its label; never stretched, cut or
    covered. A candidate without a picture says so; without a query picture the candidates
    begin at the first place. `labels` has one label a candidate.
    """
    canvas = Image.new("RGB", grid.size, "white")
    cells: list[tuple[str, Image.Image | None]] = [(QUERY, query)] if query is not None else []
    cells += list(zip(labels, candidates, strict=True))
    for place, (label, picture) in enumerate(cells):
        row, column = divmod(place, grid.columns)
        asks = query is not None and place == 0
        cell = _draw_cell(label, picture, side=grid.cell, asks=asks)
        canvas.paste(cell, (column * grid.cell, row * grid.cell))
    return canvas


def _draw_cell(label: str, picture: Image.Image | None, *, side: int, asks: bool) -> Image.Image:
    cell = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(cell)
    band, colour = max(side // BAND, min(MIN_BAND, side // 3)), BLUE if asks else DARK
    frame = max(2, side // 64) if asks else 1
    inside = (frame + 1, band + 1, side - frame - 1, side - frame - 1)
    if picture is None:
        _write(pen, "no picture", ((0, band), (side, side)), height=side // 12, colour=DARK)
    else:
        _fit(cell, picture, inside)
    pen.rectangle((0, 0, side - 1, side - 1), outline=BLUE if asks else LINE, width=frame)
    pen.rectangle((0, 0, side - 1, band - 1), fill=colour)
    _write(pen, label, ((0, 0), (side, band)), height=band, colour=(255, 255, 255))
    return cell


def _fit(cell: Image.Image, picture: Image.Image, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    fitted = ImageOps.contain(picture, (right - left, bottom - top), Image.Resampling.LANCZOS)
    spare = (right - left - fitted.width, bottom - top - fitted.height)
    cell.paste(fitted, (left + spare[0] // 2, top + spare[1] // 2))


def _write(
    pen: ImageDraw.ImageDraw,
    words: str,
    box: tuple[tuple[int, int], tuple[int, int]],
    *,
    height: int,
    colour: tuple[int, int, int],
) -> None:
    """Words in the middle of a box, letters about two thirds of `height` high."""
    (left, top), (right, bottom) = box
    font: FreeTypeFont | BitmapFont = ImageFont.load_default(max(8, height * 9 // 10))
    middle = ((left + right) / 2, (top + bottom) / 2)
    pen.text(middle, words, font=font, fill=colour, anchor="mm", stroke_width=height // 28)


def _shrink(grid: Grid, max_pixels: int | None) -> Grid:
    width, height = grid.size
    if max_pixels is None or width * height <= max_pixels:
        return grid
    cell = int((max_pixels / grid.places) ** 0.5)
    return Grid(columns=grid.columns, rows=grid.rows, cell=max(1, cell))
