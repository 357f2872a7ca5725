"""What an index is: records in, matches out. It knows nothing of Django models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Scalar: TypeAlias = str | int | float | bool
Operator: TypeAlias = Literal["in", "gt", "gte", "lt", "lte"]


class IndexFault(Exception):
    """Base class of index errors. The message is for an operator, not for a visitor."""


class IndexUnavailable(IndexFault):
    """The index is unreachable or locked by another process: retry later."""


class IndexMissing(IndexFault):
    """The generation does not exist, or no longer."""


class IndexRefused(IndexFault):
    """The collection or alias belongs to something else. A person must decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One image in the index."""

    id: str
    """Deterministic: `<source>:<primary key>`, at most 512 bytes."""
    product: str
    """Key of the product that the image shows; results are grouped by it."""
    source: str
    vector: NDArray[np.float32]
    """Shape (dimension,), finite, length 1."""
    digest: str = ""
    """SHA-256 of the image's bytes, in hexadecimal."""
    content: str = ""
    """SHA-256 of all that was embedded, in hexadecimal: says which version `vector` is of."""
    filters: Mapping[str, Scalar | Sequence[Scalar]] = field(default_factory=dict)
    """Filter name to its value, or to a sequence of its values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a generation contains of one record, read in one step."""

    vector: NDArray[np.float32]
    """Shape (dimension,)."""
    content: str
    """`Record.content` as it was written with this vector; "" if the generation keeps none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One product found, represented by its best image."""

    id: str
    product: str
    source: str
    score: float
    """Cosine similarity, -1 to 1."""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`name operator values`. "in" matches if any of the record's values is among `values`.

    The other operators take exactly one number. A record without the name never matches.
    """

    name: str
    operator: Operator
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One collection of vectors, all made with one fingerprint."""

    name: str
    fingerprint: str
    dimension: int
    keeps_content: bool = True
    """Whether it stores `Record.content`; collections made by version 0.2 or older do not."""


@runtime_checkable
class Index(Protocol):
    """Stores vectors of length 1 and finds the nearest ones by cosine similarity.

    Several generations can exist side by side; at most one is live. The constructor opens
    nothing; connections are made on first use, once per process. Thread-safe. Every method may
    raise IndexUnavailable; those that take a generation may raise IndexMissing.

    Three members are optional. `recently_live()` returns the same as `live()`, but in other
    processes than the one that promoted a generation perhaps `live_lag` seconds late: searches
    call it, so that they need not ask a server which generation to search. `recently_stored()`
    returns the same as `stored()`, but may miss writes of the last seconds, as `search` may:
    searches call it for the vectors of a product, so that they need not wait for writes.
    """

    shared: bool
    """Whether several processes can use the index at the same time."""

    def live(self) -> Generation | None:
        """Return the generation that visitors search, or None before the first promotion."""
        ...

    def generations(self) -> list[Generation]:
        """Return all generations of this index, oldest first."""
        ...

    def create(self, *, fingerprint: str, dimension: int) -> Generation:
        """Create an empty generation beside the live one."""
        ...

    def promote(self, name: str) -> None:
        """Make a generation the live one, in one atomic step."""
        ...

    def settle(self, *, generation: str) -> Iterator[float]:
        """Wait until a new generation's index is built. Yields the finished share, 0 to 1.

        Called between the fill and the promotion: some engines search a new collection with low
        recall until its index is built. Each step takes one short call; the caller decides how
        long to wait between steps and when to give up. The generation can be written to
        meanwhile, but perhaps not searched; what is written meanwhile need not be covered.
        """
        ...

    def drop(self, name: str) -> None:
        """Delete a generation. A missing one is no error. Raises ValueError for the live one."""
        ...

    def upsert(self, records: Sequence[Record], *, generation: str) -> None:
        """Write all records, in batches. They are durable when this returns.

        Raises ValueError, before anything is written, if a vector has the wrong dimension or is
        not finite.
        """
        ...

    def delete(self, ids: Sequence[str], *, generation: str) -> None:
        """Delete records, durably. Missing ones are no error."""
        ...

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
        """Return the `limit` nearest products, best first, each with its best image.

        `exclude_ids` ignores single images; other images of the same products still count.
        """
        ...

    def stored(self, ids: Sequence[str], *, generation: str) -> dict[str, Stored]:
        """Return vector and content of those `ids` that exist."""
        ...

    def contents(self, *, generation: str) -> Iterator[tuple[str, str]]:
        """Yield id and content of every record, read in pages."""
        ...

    def count(self, *, generation: str) -> int:
        """Return the number of records."""
        ...

    def stamp(self, *, generation: str) -> str:
        """Return the text that `restamp` last kept with the generation, or ""."""
        ...

    def restamp(self, text: str, *, generation: str) -> None:
        """Keep a short text with the generation, as part of what a backup contains of it.

        The ledger recognises by it the index that it knows.
        """
        ...

    def describe(self) -> str:
        """Return one line for an operator: product, version, location. No secrets."""
        ...

    def close(self) -> None:
        """Release connections, locks and files. The next call opens them again."""
        ...
