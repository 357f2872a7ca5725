"""Questions that the catalogue's attributes answer, to measure the search with."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from example_shop.models import Product

__all__ = ["questions"]

Question = dict[str, Any]


def questions(*, each: int = 60, seed: int = 7) -> Iterator[Question]:
    """Yield up to `each` questions of four kinds: words, an image, and two that combine both.

    A product that meets every wish has grade 2, one that misses a wish has grade 1.
    """
    products = list(Product.objects.for_sale().exclude(kind="").order_by("pk"))
    chance = random.Random(seed)  # noqa: S311 - a fixed sample, no secret
    yield from _sample(chance, list(_by_words(products)), each)
    shuffled = chance.sample(products, len(products))
    for make in (_like, _recoloured, _another_kind):
        found = filter(None, (make(product, products, chance) for product in shuffled))
        yield from (question for question, _ in zip(found, range(each), strict=False))


def _sample(chance: random.Random, found: Sequence[Question], most: int) -> Sequence[Question]:
    return chance.sample(found, min(most, len(found)))


def _by_words(products: Sequence[Product]) -> Iterator[Question]:
    """Words such as "red mug"."""
    for colour, kind in sorted({(p.colour, p.kind) for p in products}):
        matching = [p.pk for p in products if (p.colour, p.kind) == (colour, kind)]
        yield {"text": f"{colour} {kind}", "relevant": matching}


def _like(product: Product, products: Sequence[Product], _: random.Random) -> Question | None:
    """A product's image alone."""
    same = [p for p in products if p.kind == product.kind and p != product]
    grades = {
        str(p.pk): float((p.colour == product.colour) + (p.pattern == product.pattern))
        for p in same
        if p.colour == product.colour or p.pattern == product.pattern
    }
    if not grades:
        return None
    return {"like": product.pk, "relevant": grades}


def _recoloured(
    product: Product, products: Sequence[Product], chance: random.Random
) -> Question | None:
    """A product's image and "but in red"."""
    others = [p for p in products if p.kind == product.kind and p.colour != product.colour]
    colours = sorted({p.colour for p in others if p.pattern == product.pattern})
    if not colours:
        return None
    colour = chance.choice(colours)
    grades = {
        str(p.pk): 2.0 if p.pattern == product.pattern else 1.0
        for p in others
        if p.colour == colour
    }
    return {"like": product.pk, "text": f"but in {colour}", "relevant": grades}


def _another_kind(
    product: Product, products: Sequence[Product], chance: random.Random
) -> Question | None:
    """A product's image and "a cushion with this"."""
    if product.pattern == "plain":
        return None
    others = [p for p in products if p.kind != product.kind]
    kinds = sorted({p.kind for p in others if p.pattern == product.pattern})
    if not kinds:
        return None
    kind = chance.choice(kinds)
    grades = {
        str(p.pk): 1.0 + (p.colour == product.colour)
        for p in others
        if p.kind == kind and p.pattern == product.pattern
    }
    article = "an" if kind[0] in "aeiou" else "a"
    return {"like": product.pk, "text": f"{article} {kind} with this", "relevant": grades}
