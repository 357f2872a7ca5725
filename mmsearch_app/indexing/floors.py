"""Measure how similar the catalogue looks to nonsense: below that, a hit is no good match.

Every model has a scale of its own: 0.3 may be an excellent hit of one and noise of another, and
words are compared on another scale than pictures. So each generation is asked nonsense in words,
in pictures and in both, and the best scores of these are kept as its floors.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils import timezone
from PIL import Image

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes import Generation, IndexFault
from mmsearch_app.inference import Content
from mmsearch_app.models import Rebuild, ScoreFloor
from mmsearch_app.sources import registry, title_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_LEAST = 30
"""Images below which a catalogue is too small to measure."""
_GROWTH = 2.0
"""How much larger or smaller the catalogue must be than when it was last measured."""
_WORDS, _PICTURES, _TITLES = 48, 18, 48
_SAFE = 0.05
"""The share of the catalogue's own titles that the floor of words may reach at most."""
_SECONDS = 60.0
_looked_at = {"next": 0.0}


def measure_if_idle() -> None:
    """Measure the live generation at most once a minute, and only if it has changed much."""
    if time.monotonic() >= _looked_at["next"]:
        _looked_at["next"] = time.monotonic() + _SECONDS
        measure_floors()


def measure_floors() -> ScoreFloor | None:
    """Measure the live generation, unless that was done and it has about as many images still.

    A rebuild of about as many images with the same model keeps what was measured before: to ask
    some 130 questions takes a large model minutes on a CPU.
    Returns the floors, or None if there are none: too few images, or the model or the index
    fails, which is logged.
    """
    try:
        live = get_index().live()
        if live is None or live.fingerprint != get_embedder().fingerprint:
            return None
        count = get_index().count(generation=live.name)
        known = _find_measured(live)
        if known and known.images / _GROWTH < max(count, 1) < known.images * _GROWTH:
            return known if known.generation == live.name else _keep(known, live)
        if count < _LEAST:
            ScoreFloor.objects.filter(generation=live.name).delete()
            return None
        return _measure(live, count)
    except IndexFault as error:
        log.warning("The floors of the scores cannot be measured: %s", error)
    except Exception:  # models raise anything
        log.exception("The floors of the scores cannot be measured")
    return None


def _find_measured(live: Generation) -> ScoreFloor | None:
    """Return the floors of this generation or else of the last one that the same model filled."""
    rebuilt = Rebuild.objects.filter(fingerprint=live.fingerprint).exclude(generation="")
    before = ScoreFloor.objects.filter(generation__in=rebuilt.values("generation"))
    own = ScoreFloor.objects.filter(generation=live.name).first()
    return own or before.order_by("-measured_at").first()


def _keep(known: ScoreFloor, live: Generation) -> ScoreFloor:
    """Record the floors of an earlier generation for the live one."""
    names = ("images", "words", "picture", "composed", "measured_at")
    return _record(live, {name: getattr(known, name) for name in names})


def _record(live: Generation, values: Mapping[str, Any]) -> ScoreFloor:
    """Save the floors of the live generation, and forget those of generations that are gone."""
    names = {generation.name for generation in get_index().generations()}
    ScoreFloor.objects.exclude(generation__in=names).delete()
    return ScoreFloor.objects.update_or_create(generation=live.name, defaults=values)[0]


def _measure(live: Generation, count: int) -> ScoreFloor:
    chance = random.Random(0)  # noqa: S311 - the same nonsense every time
    words, pictures = [_nonsense(chance) for _ in range(_WORDS)], list(_noise(_PICTURES))
    said = _best(live, [Content(text=text) for text in words])
    titled = [Content(text=title) for title in _titles()]
    # A model that hardly tells nonsense from titles must not call real questions wrong.
    by_words = float(np.quantile(_best(live, titled), _SAFE)) if titled else 1.0
    both = [Content(image=i, text=t) for i, t in zip(pictures, words, strict=False)]
    values = {
        "images": count,
        "words": min(max(said), by_words),
        "picture": max(_best(live, [Content(image=image) for image in pictures])),
        "composed": max(_best(live, both)),
        "measured_at": timezone.now(),
    }
    found = _record(live, values)
    log.info("%s is asked nonsense: %s", live.name, found)
    return found


def _best(live: Generation, contents: Sequence[Content]) -> list[float]:
    """Return the cosine of the best hit of each query that has one."""
    size, found = 8, []
    for start in range(0, len(contents), size):
        vectors: NDArray[np.float32] = get_embedder().embed_queries(contents[start : start + size])
        for vector in vectors:
            length = float(np.linalg.norm(vector))
            if length:
                hits = get_index().search(vector / length, generation=live.name, limit=1)
                found += [hit.score for hit in hits]
    return found or [-1.0]


def _nonsense(chance: random.Random) -> str:
    """Return words that mean nothing, as a visitor's cat would type them."""
    letters, vowels = "bcdfghjklmnpqrstvwxz", "aeiou"

    def word() -> str:
        pairs = range(chance.randint(2, 4))
        return "".join(chance.choice(letters) + chance.choice(letters + vowels) for _ in pairs)

    return " ".join(word() for _ in range(chance.randint(1, 4)))


def _noise(count: int) -> Iterable[Image.Image]:
    """Yield pictures that show nothing: fine noise, blurred noise, one colour."""
    chance = np.random.default_rng(0)
    for number in range(count):
        side = (224, 5, 1)[number % 3]
        pixels = chance.integers(0, 256, (side, side, 3), dtype=np.uint8)
        yield Image.fromarray(pixels).resize((224, 224), Image.Resampling.BICUBIC)


def _titles() -> list[str]:
    """Return some titles of the catalogue."""
    found = []
    for source in registry:
        rows = source.fetch(source.get_queryset().order_by("pk")[: _TITLES // len(registry) + 1])
        for row in rows:
            product = source.get_product(row)
            found += [title_of(source, row, product)] if product is not None else []
    return [title for title in found if title.strip()]
