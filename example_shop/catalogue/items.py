"""The list of products in the example shop, always the same."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from .goods import GOODS, Good
from .looks import OTHER_COLOURS, OTHER_PRINTS, SERIES, USUAL_COLOURS, USUAL_PRINTS
from .patterns import Cloth

_SEED = "catalogue 1"
_PLAIN_EACH = 9
_PRINTED_EACH = 10
_ADJECTIVES = ("striped", "checked", "dotted", "dot", "zebra", "chevron")

_PRINT_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "striped": ("{colour} stripes", "{colour} and {accent} striped", "{colour} striped"),
    "checked": ("{colour} check", "{colour} and {accent} checked", "{colour} checked"),
    "dotted": ("{colour} with {accent} dots", "{colour} polka dot", "{colour} dotted"),
    "floral": ("{colour} floral", "{accent} flowers on {colour}", "{colour} floral print"),
    "leopard": ("leopard print", "{colour} leopard print", "leopard"),
    "zebra": ("zebra print", "{colour} and {accent} zebra"),
    "camouflage": ("camouflage", "{colour} camouflage", "{colour} camo print"),
    "stars": ("{colour} with {accent} stars", "{colour} stars", "{accent} stars on {colour}"),
    "hearts": ("{colour} with {accent} hearts", "{accent} hearts", "{colour} hearts"),
    "zigzag": ("{colour} zigzag", "{colour} and {accent} chevron", "{colour} chevron"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A product with the attributes that its images show."""

    sku: str
    kind: str
    category: str
    colour: str
    accent: str | None
    pattern: str
    title: str
    description: str
    price: Decimal
    stock: int


def items() -> list[Item]:
    """All products, grouped by kind; the same in every call and in every process."""
    return [item for good in GOODS for item in _items_of(good)]


def write_title(draw: random.Random, kind: str, cloth: Cloth) -> str:
    """A title as the shop's listings have them, for a product that need not be in the list."""
    good = next(good for good in GOODS if good.kind == kind)
    return _title(good, draw, cloth.pattern, cloth.colour, cloth.accent, set())[0]


def _items_of(good: Good) -> list[Item]:
    draw = random.Random(f"{_SEED} {good.kind}")  # noqa: S311 - a fixed choice, no secret
    titles: set[str] = set()
    found = []
    for number, (pattern, colour, accent) in enumerate(_looks(good, draw), start=1):
        title, mention = _title(good, draw, pattern, colour, accent, titles)
        found.append(
            Item(
                sku=f"{good.code}-{number:03d}",
                kind=good.kind,
                category=good.category,
                colour=colour,
                accent=accent,
                pattern=pattern,
                title=title,
                description=_describe(good, mention),
                price=_price(good, draw, printed=pattern != "plain"),
                stock=_stock(draw),
            )
        )
    return found


def _looks(good: Good, draw: random.Random) -> list[tuple[str, str, str | None]]:
    """Pattern, colour and accent of each product of a kind."""
    extra = _PLAIN_EACH - len(USUAL_COLOURS)
    plain = good.colours or (*USUAL_COLOURS, *draw.sample(OTHER_COLOURS, extra))
    printed = (*USUAL_PRINTS, *draw.sample(OTHER_PRINTS, _PRINTED_EACH - len(USUAL_PRINTS)))
    return [*(("plain", colour, None) for colour in plain), *printed]


def _title(
    good: Good, draw: random.Random, pattern: str, colour: str, accent: str | None, taken: set[str]
) -> tuple[str, str]:
    """A title that is not in `taken`, and its words for the look, which may be empty."""
    while True:
        words = _look_words(draw, pattern, colour, accent)
        title = _compose(good, draw, words, before=words == pattern or words.endswith(_ADJECTIVES))
        if title not in taken:
            taken.add(title)
            return title, words


def _compose(good: Good, draw: random.Random, words: str, *, before: bool) -> str:
    """A title that describes the look before or after the noun."""
    noun, series, detail = good.noun or good.kind, draw.choice(SERIES), draw.choice(good.details)
    named = f"{series} {draw.choice(good.materials)} {noun}"
    if not words:
        return f"{named}, {detail}"
    if before:
        return f"{series} {words} {noun}, {detail}"
    return draw.choice(
        (f"{named}, {words}, {detail}", f"{series} {noun}, {words}", f"{named} in {words}")
    )


def _look_words(draw: random.Random, pattern: str, colour: str, accent: str | None) -> str:
    """The listing's words for the look. One listing in four leaves out part of it."""
    share = draw.random()
    if share < 0.08:
        return ""
    if pattern == "plain" or share < 0.17:
        return colour
    words = draw.choice(_PRINT_WORDS[pattern]).format(colour=colour, accent=accent)
    return pattern if share < 0.25 else words


def _describe(good: Good, mention: str) -> str:
    return f"{good.about} {mention.capitalize()}." if mention else good.about


def _price(good: Good, draw: random.Random, *, printed: bool) -> Decimal:
    low, high = good.price
    usual = low + (high - low) * (0.45 if printed else 0.3)
    whole = round(draw.triangular(low, high, usual))
    if high > 200:
        return Decimal(whole // 10 * 10 + 9) + Decimal("0.00")
    return whole + Decimal(draw.choice(("0.90", "0.95", "0.50")))


def _stock(draw: random.Random) -> int:
    return 0 if draw.random() < 0.07 else draw.choice((1, 2, 3, 5, 8, 12, 18, 25, 40, 60))
