"""Measure whether nonsense is told from questions, and whether what the words refuse is kept away.

    python manage.py demo --no-serve && python -m benchmarks.nonsense

Asks the example shop. The first table: the share of nonsense (other than what the floors were
measured with) and of real questions that is answered with "no good match", and the area under the
ROC curve of the best score. The second: of the first ten products, how many have what the words
refuse (NegRate@10), and how many are of the wanted kind without it; the negations as they are
typed, then read.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import django
import numpy as np

if TYPE_CHECKING:
    from example_shop.models import Product

NOUNS = {"striped": "stripes", "dotted": "dots", "checked": "checks", "floral": "flowers"}
UNRELATED = (
    *("stock market crash", "cancel my subscription", "quantum chromodynamics", "1234567890"),
    *("mortgage interest rates", "presidential election", "flight to madrid", "blah blah blah"),
    *("python tutorial", "diesel engine", "football score", "asdfgh qwerty zxcv", "xxxx"),
)


@dataclass(frozen=True, kw_only=True)
class Refusing:
    """A question whose words refuse something."""

    text: str
    kind: str
    refused: Callable[[Product], bool]
    like: int | None = None


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "example_shop.settings"
    django.setup()
    from mmsearch_app.indexing import measure_floors

    print(f"floors: {measure_floors()}\n")
    _nonsense()
    _negations()


def _nonsense() -> None:
    from example_shop.models import Product
    from example_shop.questions import questions

    chance = random.Random(11)
    asked: list[dict[str, Any]] = list(questions(each=40))
    words = [q["text"] for q in asked if "like" not in q]
    titles = [p.title for p in chance.sample([*Product.objects.all()], 40)]
    composed = [
        {"like": q["like"], "text": q["text"]} for q in asked if "like" in q and "text" in q
    ]
    noise = [{"image": image} for image in _noise(24)]
    cases: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
        "words": ([{"text": t} for t in words], [{"text": t} for t in _gibberish(60, chance)]),
        "titles": ([{"text": t} for t in titles], [{"text": t} for t in UNRELATED]),
        "picture": ([{"like": q["like"]} for q in asked if "text" not in q], noise),
        "composed": (
            composed,
            [{**n, "text": t} for n, t in zip(noise, _gibberish(24, chance), strict=True)],
        ),
    }
    print(f"{'':12}{'real: told off':>16}{'nonsense: told off':>20}{'AUC':>8}")
    for name, (real, nonsense) in cases.items():
        good, bad = _ask(real), _ask(nonsense)
        auc = float(np.mean([[g > b for b, _ in bad] for g, _ in good]))
        told = [np.mean([off for _, off in found]) for found in (good, bad)]
        print(f"{name:12}{told[0]:>16.3f}{told[1]:>20.3f}{auc:>8.3f}")


def _ask(queries: Sequence[dict[str, Any]]) -> list[tuple[float, bool]]:
    """The best score of each query, and whether it is called no good match."""
    from mmsearch_app import search

    answers = [search(**query, limit=1, rerank=False) for query in queries]
    return [(a.hits[0].score if a.hits else -1.0, a.no_good_match) for a in answers]


def _gibberish(count: int, chance: random.Random) -> Iterator[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    for _ in range(count):
        lengths = [chance.randint(3, 9) for _ in range(chance.randint(1, 4))]
        yield " ".join("".join(chance.choices(letters, k=length)) for length in lengths)


def _noise(count: int) -> Iterator[Any]:
    from PIL import Image

    chance = np.random.default_rng(11)
    for number in range(count):
        side = (224, 8, 3, 1)[number % 4]
        pixels = chance.integers(0, 256, (side, side, 3), dtype=np.uint8)
        yield Image.fromarray(pixels).resize((300, 300), Image.Resampling.BICUBIC)


def _negations() -> None:
    from django.conf import settings
    from django.test import override_settings

    groups = _refusing()
    print(f"\n{'':34}{'questions':>10}{'NegRate@10':>12}{'right@10':>10}")
    for read in (False, True):
        with override_settings(MMSEARCH={**settings.MMSEARCH, "READ_NEGATIONS": read}):
            for name, questions in groups.items():
                label = f"{name}, {'read' if read else 'as typed'}"
                refused, right = _rates(questions)
                print(f"{label:34}{len(questions):>10}{refused:>12.3f}{right:>10.3f}")


def _rates(questions: Sequence[Refusing]) -> tuple[float, float]:
    from mmsearch_app import search

    refused, right = [], []
    for question in questions:
        hits = search(text=question.text, like=question.like, limit=10, rerank=False).hits
        for hit in hits:
            product: Any = hit.product
            refused.append(question.refused(product))
            right.append(product.kind == question.kind and not refused[-1])
    return float(np.mean(refused)), float(np.mean(right))


def _refusing() -> dict[str, list[Refusing]]:
    from example_shop.models import Product

    chance = random.Random(3)
    goods = [*Product.objects.for_sale().exclude(kind="").order_by("pk")]
    patterns = [
        Refusing(text=f"{kind} without {noun}", kind=kind, refused=_has("pattern", pattern))
        for kind in sorted({p.kind for p in goods})
        for pattern, noun in NOUNS.items()
        if sum((p.kind, p.pattern) == (kind, pattern) for p in goods) >= 3
    ]
    colours = [
        Refusing(text=f"{kind} not {colour}", kind=kind, refused=_has("colour", colour))
        for kind, colour in sorted({(p.kind, p.colour) for p in goods})
    ]
    striped = chance.sample([p for p in goods if p.pattern == "striped"], 20)
    likes = [
        *(("but without stripes", p, _has("pattern", "striped")) for p in striped),
        *((f"but not {p.colour}", p, _has("colour", p.colour)) for p in chance.sample(goods, 20)),
    ]
    return {
        "kind without a pattern": patterns,
        "kind, not a colour": chance.sample(colours, 40),
        "like a product, but not": [
            Refusing(text=text, kind=p.kind, refused=refused, like=p.pk)
            for text, p, refused in likes
        ],
    }


def _has(name: str, value: str) -> Callable[[Product], bool]:
    return lambda product: getattr(product, name) == value


if __name__ == "__main__":
    main()
