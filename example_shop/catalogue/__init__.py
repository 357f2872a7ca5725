"""The example shop's catalogue: a fixed list of products, and code that draws their images."""

from __future__ import annotations

from PIL import Image

from .items import Item, items, write_title
from .kinds import DRAWINGS
from .leopard import draw_leopard
from .palette import COLOURS, rgb
from .patterns import PATTERNS, Cloth

__all__ = [
    "COLOURS",
    "PATTERNS",
    "VIEWS",
    "Cloth",
    "Item",
    "draw",
    "draw_leopard",
    "items",
    "rgb",
    "write_title",
]

VIEWS = 2


def draw(item: Item, *, view: int, size: int = 640) -> Image.Image:
    """Draw the product as a square RGB image of `size` pixels: the same pixels every time.

    View 0 is the main image, view 1 another angle on another light backdrop. Raises ValueError
    for any other view.
    """
    if view not in range(VIEWS):
        raise ValueError(f"view = {view!r}: a product has the views 0 and 1.")
    cloth = Cloth(colour=item.colour, accent=item.accent, pattern=item.pattern)
    return DRAWINGS[item.kind](cloth, view=view, size=size).image()
