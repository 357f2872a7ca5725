"""Kinds of thing as a classifier sees them: which of its classes a picture shows or words mean.

ImageNet has a class for gowns and none for dresses, one for necklaces and none for earrings. So
words are turned into weights of classes: of those whose names mean the same, and of those that
the thing looks like (`data/looks.csv`). Images and words are compared class by class, not by the
mean of all classes' meanings, which an image's many improbable classes blur. The roots of
posteriors have length 1, and their inner product is the coefficient of Bhattacharyya (1943).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    Vector = NDArray[np.float32]

# ImageNet orders its animals by their taxonomy: fish, birds, …, dogs, …, cats. Shops sell none,
# so each of these ranges, given by its first class, is one kind. From the last on, all are kept.
ANIMALS: Final = (0, 7, 25, 33, 69, 80, 101, 127, 147, 151, 281, 294, 300, 327, 330, 356, 366, 385)
FIRST_THING: Final = 398
KINDS: Final = len(ANIMALS) + 1000 - FIRST_THING
SHARPNESS: Final = 0.05  # of cosines, in a softmax over the classes that words may mean
LOOKS: Final = 3.0  # how much the table counts beside the names of classes: "jacket", "book jacket"
GARMENTS: Final = (
    *("dress", "skirt", "shirt", "sweater", "trousers", "shorts", "jacket", "suit"),
    *("lingerie", "swimsuit", "jumpsuit"),
)
CLEARLY: Final = 0.25  # share of the garments' classes in the posteriors of a clear garment
LONGEST: Final = 3  # words of a name in the table
_BREAK: Final = re.compile(r"\b(?:with|without|for|in|of|from|by)\b|[,;:(|–—]| - ")
_WORD: Final = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def seen_kinds(posteriors: Vector) -> Vector:
    """Return the roots of the posteriors, animals by range: (n, 1000) to (n, KINDS), length 1."""
    return np.sqrt(_fold(posteriors))


def worn_share(posteriors: Vector) -> Vector:
    """Return how likely each image shows clothing, (n,): the posteriors of what garments look like.

    The posteriors are soft: a share of `CLEARLY` or more is 1.
    """
    garments = sorted({at for word in GARMENTS for at in _looks()[word]})
    return np.asarray(np.minimum(posteriors[:, garments].sum(axis=1) / CLEARLY, 1))


def _fold(rows: Vector) -> Vector:
    bounds = [*ANIMALS, *range(FIRST_THING, 1000)]
    return np.asarray(np.add.reduceat(rows, bounds, axis=1), np.float32)


def meant_kinds(text: str, meaning: Vector, names: Vector) -> Vector:
    """Return the kinds that words mean, (KINDS,), length 1.

    `meaning` is the embedding of `text`, (384,), and `names` are those of the classes, (1000,
    384); all of length 1.
    """
    cosines = np.einsum("cd,d->c", names, meaning)  # starts no threads, see `colours`
    weights = np.exp((cosines - cosines.max()) / SHARPNESS)
    found = _unit(_fold(weights[None])[0])
    alike = _look_up(find_kind(text))
    if alike:
        found = _unit(found + LOOKS * _unit(_fold(np.eye(1000, dtype=np.float32)[alike]).sum(0)))
    return found


def find_kind(text: str) -> str:
    """Return the words in a text that name a kind in the table; "" if none do.

    Such words end a phrase, "leather dress shoes", and what follows "with" or "for" is beside it.
    """
    for phrase in _BREAK.split(text.lower()):
        words = _WORD.findall(phrase)
        ends = (
            (start, end) for end in range(len(words), 0, -1) for start in range(_start(end), end)
        )
        for start, end in ends:
            named = " ".join(words[start:end])
            if _look_up(named):
                return named
    return ""


def _start(end: int) -> int:
    return max(0, end - LONGEST)


def _look_up(named: str) -> list[int]:
    forms = (named, named.removesuffix("s"), named.removesuffix("es"))
    return next((_looks()[form] for form in forms if form in _looks()), [])


@cache
def _looks() -> Mapping[str, list[int]]:
    """Return the table: words to places of classes. Each class is named by its first name."""
    places: dict[str, list[int]] = {}
    for at, names in enumerate(read_names("classes")):
        places.setdefault(names[0], []).append(at)
    text = files(__package__).joinpath("data/looks.csv").read_text("utf-8")
    return {
        word: [at for name in row["classes"].split("; ") for at in places[name]]
        for row in csv.DictReader(text.splitlines())
        for word in row["words"].split("|")
    }


def read_names(of: str) -> list[tuple[str, ...]]:
    """Return the synonyms of ImageNet's 1,000 "classes" or of their "kinds", in their order.

    A class's kind is its hypernym in WordNet 3.0 (Fellbaum, 1998).
    """
    text = files(__package__).joinpath(f"data/imagenet1k_{of}.txt").read_text("utf-8")
    return [tuple(line.split("\t")[1].split(", ")) for line in text.splitlines()]


def _unit(vector: Vector) -> Vector:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)
