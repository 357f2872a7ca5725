"""An exact index in the memory of one process, for tests and experiments."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.indexes.base import Generation, IndexMissing, Match, Record, Stored
from mmsearch_app.indexes.records import (
    Facets,
    age_of,
    check_query,
    check_record,
    matches,
    name_generation,
)
from mmsearch_app.inference import renew_after_fork

if TYPE_CHECKING:
    from mmsearch_app.indexes.base import Condition


@dataclass(slots=True, kw_only=True)
class _Shelf:
    """The records of one generation. `rows` and `matrix` are rebuilt after a write."""

    generation: Generation
    records: dict[str, tuple[Record, Facets]] = field(default_factory=dict)
    rows: list[tuple[Record, Facets]] | None = None
    matrix: NDArray[np.float32] | None = None
    stamp: str = ""

    def ranked(self, vector: NDArray[np.float32]) -> Iterator[tuple[float, Record, Facets]]:
        """Yield all records, best first; equal scores in the order of ids."""
        if self.rows is None or self.matrix is None:
            self.rows = [self.records[key] for key in sorted(self.records)]
            vectors = [record.vector for record, _ in self.rows]
            self.matrix = np.array(vectors, dtype=np.float32).reshape(-1, self.generation.dimension)
        if self.rows:
            scores = np.clip(self.matrix @ vector, -1, 1)
            for row in np.argsort(-scores, kind="stable"):
                yield float(scores[row]), *self.rows[row]


class MemoryIndex:
    """Implements `Index`, except that its content is lost when the process ends."""

    shared = False
    durable = False
    """Whether other processes and later ones see the same content."""

    def __init__(self, *, collection: str = "product_images") -> None:
        self.collection = collection
        self._shelves: dict[str, _Shelf] = {}
        self._live: str | None = None
        self._renew_lock()
        renew_after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()

    def live(self) -> Generation | None:
        with self._lock:
            return self._shelves[self._live].generation if self._live else None

    def generations(self) -> list[Generation]:
        with self._lock:
            return [self._shelves[name].generation for name in sorted(self._shelves, key=age_of)]

    def create(self, *, fingerprint: str, dimension: int) -> Generation:
        with self._lock:
            name = name_generation(self.collection, fingerprint)
            while name in self._shelves:
                name = name_generation(self.collection, fingerprint)
            made = Generation(name=name, fingerprint=fingerprint, dimension=dimension)
            self._shelves[name] = _Shelf(generation=made)
            return made

    def promote(self, name: str) -> None:
        with self._lock:
            self._live = self._shelf(name).generation.name

    def settle(self, *, generation: str) -> Iterator[float]:
        """Yield nothing: every search is exact."""
        with self._lock:
            self._shelf(generation)
            return iter(())

    def drop(self, name: str) -> None:
        with self._lock:
            if name == self._live:
                msg = f"{name} is live; promote another generation before dropping it."
                raise ValueError(msg)
            self._shelves.pop(name, None)

    def upsert(self, records: Sequence[Record], *, generation: str) -> None:
        with self._lock:
            shelf = self._shelf(generation)
            dimension = shelf.generation.dimension
            facets = [check_record(record, dimension=dimension) for record in records]
            for record, found in zip(records, facets, strict=True):
                own = np.array(record.vector, dtype=np.float32)
                shelf.records[record.id] = (replace(record, vector=own), found)
            shelf.rows = None

    def delete(self, ids: Sequence[str], *, generation: str) -> None:
        with self._lock:
            shelf = self._shelf(generation)
            for key in ids:
                shelf.records.pop(key, None)
            shelf.rows = None

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        generation: str,
        limit: int,
        conditions: Sequence[Condition] = (),
        exclude_products: Sequence[str] = (),
        exclude_ids: Sequence[str] = (),
    ) -> list[Match]:
        with self._lock:
            shelf = self._shelf(generation)
            dimension = shelf.generation.dimension
            unit = check_query(vector, dimension=dimension, limit=limit)
            excluded, hidden = set(exclude_products), set(exclude_ids)
            found: list[Match] = []
            for score, record, facets in shelf.ranked(unit):
                if len(found) == limit:
                    break
                if record.product in excluded or record.id in hidden:
                    continue
                if not all(matches(facets, condition) for condition in conditions):
                    continue
                excluded.add(record.product)
                found.append(_match(record, score))
            return found

    def stored(self, ids: Sequence[str], *, generation: str) -> dict[str, Stored]:
        with self._lock:
            records = self._shelf(generation).records
            found = {key: records[key][0] for key in ids if key in records}
            return {
                key: Stored(vector=record.vector.copy(), content=record.content)
                for key, record in found.items()
            }

    def contents(self, *, generation: str) -> Iterator[tuple[str, str]]:
        with self._lock:
            records = self._shelf(generation).records
            return iter([(key, records[key][0].content) for key in sorted(records)])

    def count(self, *, generation: str) -> int:
        with self._lock:
            return len(self._shelf(generation).records)

    def stamp(self, *, generation: str) -> str:
        with self._lock:
            return self._shelf(generation).stamp

    def restamp(self, text: str, *, generation: str) -> None:
        with self._lock:
            self._shelf(generation).stamp = text

    def describe(self) -> str:
        return f"memory of this process, collection {self.collection!r}"

    def close(self) -> None:
        """Do nothing: the records stay until the process ends."""

    def _shelf(self, name: str) -> _Shelf:
        if name not in self._shelves:
            msg = f"There is no generation {name!r}."
            raise IndexMissing(msg)
        return self._shelves[name]


def _match(record: Record, score: float) -> Match:
    return Match(
        id=record.id,
        product=record.product,
        source=record.source,
        score=score,
        digest=record.digest,
    )
