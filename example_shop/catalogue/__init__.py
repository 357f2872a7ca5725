"""The drawn catalogue of the example shop: what it sells, and pictures of it made by code."""

from __future__ import annotations

from PIL import Image

from .items import Item, items
from .kinds import DRAWINGS
from .leopard import draw_leopard
from .palette import COLOURS, rgb
from .patterns import PATTERNS, Cloth

__all__ = ["COLOURS", "PATTERNS", "VIEWS", "Item", "draw", "draw_leopard", "items", "rgb"]

VIEWS = 2


def draw(item: Item, *, view: int, size: int = 640) -> Image.Image:
    """A picture of the product, RGB, size by size: the same pixels every time.

    View 0 is the main picture, view 1 another angle on another light backdrop.
    """
    if view not in range(VIEWS):
        raise ValueError(f"view = {view!r}: a product has the views 0 and 1.")
    cloth = Cloth(colour=item.colour, accent=item.accent, pattern=item.pattern)
    return DRAWINGS[item.kind](cloth, view=view, size=size).picture()
