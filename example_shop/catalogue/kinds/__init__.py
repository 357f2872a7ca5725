"""How each kind of product is drawn, one module per family."""

from __future__ import annotations

from typing import Final, Protocol

from example_shop.catalogue.canvas import Canvas
from example_shop.catalogue.patterns import Cloth

from .accessories import draw_sunglasses, draw_umbrella
from .armchair import draw_armchair
from .backpack import draw_backpack
from .cap import draw_cap
from .clothing import draw_dress, draw_tshirt
from .drinkware import draw_bottle, draw_mug
from .handbag import draw_handbag
from .home import draw_clock, draw_cushion, draw_lamp
from .hoodie import draw_hoodie
from .jeans import draw_jeans
from .scarf import draw_scarf
from .shoes import draw_shoe
from .socks import draw_socks
from .stationery import draw_notebook, draw_phone_case


class Drawing(Protocol):
    """Draws one kind of product."""

    def __call__(self, cloth: Cloth, *, view: int, size: int) -> Canvas:
        """Draw the product in the cloth's colours and pattern, from angle 0 or 1."""


DRAWINGS: Final[dict[str, Drawing]] = {
    "mug": draw_mug,
    "water bottle": draw_bottle,
    "t-shirt": draw_tshirt,
    "hoodie": draw_hoodie,
    "dress": draw_dress,
    "jeans": draw_jeans,
    "scarf": draw_scarf,
    "baseball cap": draw_cap,
    "running shoes": draw_shoe,
    "socks": draw_socks,
    "backpack": draw_backpack,
    "handbag": draw_handbag,
    "cushion": draw_cushion,
    "table lamp": draw_lamp,
    "wall clock": draw_clock,
    "armchair": draw_armchair,
    "phone case": draw_phone_case,
    "sunglasses": draw_sunglasses,
    "umbrella": draw_umbrella,
    "notebook": draw_notebook,
}
