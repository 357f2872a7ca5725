"""A large shop for `benchmarks.scale`: vectors as a model of pictures gives them, and the truth.

Uniformly random vectors of 512 dimensions are all equally far apart, and no index finds their
neighbours. Vectors of a trained model lie near a surface of some tens of dimensions, in a narrow
cone, in kinds of very different sizes. So here: 5,000 kinds (the n-th most frequent one with a
weight of 1/√n), normally distributed in 64 dimensions; products around their kind (0.7 of the
spread of kinds), four images around each product (0.35); projected at random to the dimension of
the model; plus a common direction as long as the rest (random pairs have a cosine of about 0.5,
as with CLIP) and noise in all dimensions (a fifth of the length).

Half of the queries are new images of products, the others compositions: half way from an image
to a product of any other kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.indexes.base import Condition, Record

IMAGES = 4
"""Images of one product."""
KINDS = 5_000
LATENT = 64
PRODUCT, IMAGE, NOISE, CONE = 0.7, 0.35, 0.2, 1.0
CHUNK = 40_000
QUERIES = 200
TOP = 24
SHARES = {"": 1, "tenth": 10, "hundredth": 100}
"""Filter name to the part of the products that it keeps: one in so many."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Shop:
    """The first `count` images of a shop of any size: a smaller shop is the start of a larger."""

    folder: Path
    count: int
    dimension: int = 512

    @cached_property
    def vectors(self) -> Vectors:
        """Shape (count, dimension), a file that is mapped into memory."""
        path = self.folder / f"images-{self.dimension}.f32"
        wanted = self.count * self.dimension * 4
        if not path.exists() or path.stat().st_size < wanted:
            _write(path, self.count, self.dimension)
        return np.memmap(path, np.float32, "r", shape=(self.count, self.dimension))

    @cached_property
    def queries(self) -> Vectors:
        """Shape (QUERIES, dimension): half of them images, half compositions."""
        rng = np.random.default_rng(1)
        products = rng.integers(self.count // IMAGES, size=QUERIES)
        others = _products(rng.integers(self.count // IMAGES, size=QUERIES))
        points = _products(products) + IMAGE * rng.normal(size=(QUERIES, LATENT))
        half = QUERIES // 2
        points[half:] = (points[half:] + others[half:]) / 2
        return _project(points, self.dimension, rng)

    def records(self, start: int, stop: int) -> list[Record]:
        rows = np.array(self.vectors[start:stop])
        return [
            make_record(number, vector)
            for number, vector in zip(range(start, stop), rows, strict=True)
        ]

    def truth(self, name: str) -> NDArray[np.int64]:
        """Shape (QUERIES, TOP): the nearest products that the filter keeps, computed once."""
        path = self.folder / f"truth-{self.dimension}-{self.count}-{name or 'all'}.npy"
        if not path.exists():
            np.save(path, self._nearest(SHARES[name]))
        return np.asarray(np.load(path))

    def _nearest(self, share: int) -> NDArray[np.int64]:
        best = np.full((QUERIES, 0), 0, np.int64)
        scores = np.full((QUERIES, 0), 0, np.float32)
        for start in range(0, self.count, CHUNK):
            found = self.queries @ self.vectors[start : start + CHUNK].T
            found = found.reshape(QUERIES, -1, IMAGES).max(axis=2)  # by product
            products = start // IMAGES + np.arange(found.shape[1])
            kept = products % share == 0
            best = np.hstack([best, np.tile(products[kept], (QUERIES, 1))])
            scores = np.hstack([scores, found[:, kept]])
            order = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
            best = np.take_along_axis(best, order, axis=1)
            scores = np.take_along_axis(scores, order, axis=1)
        return best


def make_record(number: int, vector: Vectors) -> Record:
    product = number // IMAGES
    kept = {name: product % share == 0 for name, share in SHARES.items() if name}
    return Record(
        id=f"shop.Image:{number}",
        product=str(product),
        source="shop.Image",
        vector=vector,
        digest=f"{number:064x}",
        content=f"{number:064x}",
        filters={"category": f"{product % 300}", "price": product % 977 / 10, **kept},
    )


def conditions(name: str) -> Sequence[Condition]:
    return [Condition(name=name, operator="in", values=(True,))] if name else []


def _write(path: Path, count: int, dimension: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for rows in _images(count, dimension):
            rows.tofile(file)


def _images(count: int, dimension: int) -> Iterator[Vectors]:
    for start in range(0, count, CHUNK):
        rng = np.random.default_rng([2, start])
        products = _products(np.arange(start // IMAGES, (start + CHUNK) // IMAGES))
        points = np.repeat(products, IMAGES, axis=0)
        points += IMAGE * rng.normal(size=points.shape)
        yield _project(points, dimension, rng)[: count - start]


def _products(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the points of products in the latent space, the same for a number in every shop."""
    weights = 1 / np.sqrt(np.arange(1, KINDS + 1))
    limits = np.cumsum(weights / weights.sum())
    kinds = np.random.default_rng(3).normal(size=(KINDS, LATENT))
    points = np.empty((len(numbers), LATENT))
    for place, number in enumerate(numbers):
        rng = np.random.default_rng([4, int(number)])
        kind = min(int(np.searchsorted(limits, rng.random())), KINDS - 1)
        points[place] = kinds[kind] + PRODUCT * rng.normal(size=LATENT)
    return points


def _project(points: NDArray[np.float64], dimension: int, rng: np.random.Generator) -> Vectors:
    fixed = np.random.default_rng(5)
    matrix = fixed.normal(size=(LATENT, dimension)) / np.sqrt(dimension)
    cone = fixed.normal(size=dimension)
    cone *= CONE * np.sqrt(LATENT) / np.linalg.norm(cone)
    noise = rng.normal(size=(len(points), dimension)) * NOISE * np.sqrt(LATENT / dimension)
    vectors = (points @ matrix + cone + noise).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
