"""What a vector index is: records in, matches out; it knows no Django model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Condition",
    "Generation",
    "Index",
    "IndexFault",
    "IndexMissing",
    "IndexUnavailable",
    "Match",
    "Operator",
    "Record",
    "Scalar",
]

Scalar: TypeAlias = str | int | float | bool
Operator: TypeAlias = Literal["in", "gt", "gte", "lt", "lte"]


class IndexFault(Exception):
    """Base of what an index raises; the message is fit for an operator, not a visitor."""


class IndexUnavailable(IndexFault):
    """The index cannot be reached or is held by another process: try again later."""


class IndexMissing(IndexFault):
    """The generation named does not exist (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One picture as the index holds it."""

    id: str
    """Deterministic, `<source>:<primary key>`, at most 512 bytes: twice is harmless."""
    product: str
    """Key of the product that the picture shows; results are grouped by it."""
    source: str
    vector: NDArray[np.float32]
    """Shape (dimension,), finite, length 1."""
    digest: str = ""
    """SHA-256 of the picture's bytes."""
    filters: Mapping[str, Scalar | Sequence[Scalar]] = field(default_factory=dict)
    """What a query may filter on; a sequence holds several values of one name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One product found, by its best picture."""

    id: str
    product: str
    source: str
    score: float
    """Cosine similarity, -1 to 1."""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`name operator values`; "in" matches when any value of the record is among `values`.

    The comparisons take exactly one number. A record without the name never matches.
    """

    name: str
    operator: Operator
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One physical collection. Vectors of two fingerprints never share one."""

    name: str
    fingerprint: str
    dimension: int


@runtime_checkable
class Index(Protocol):
    """Keeps vectors of length 1 and finds the nearest by cosine similarity.

    Several generations may exist side by side; at most one is live. Constructing an index
    opens nothing; connections are made at first use, once per process. Safe for threads.
    Every method may raise `IndexUnavailable`, those that take a generation `IndexMissing`.
    """

    shared: bool
    """Whether several processes may use it at the same time."""

    def live(self) -> Generation | None:
        """The generation that visitors search, or None before the first promotion."""
        ...

    def generations(self) -> list[Generation]:
        """Every generation of this index, oldest first."""
        ...

    def create(self, *, fingerprint: str, dimension: int) -> Generation:
        """Make an empty generation beside the live one."""
        ...

    def promote(self, name: str) -> None:
        """Make it the live one, in one atomic step."""
        ...

    def settle(self, *, generation: str) -> Iterator[float]:
        """Have a generation that is not live searched as well as it ever will be.

        For the time between a fill and its promotion, where an engine answers from a makeshift
        until its real index is built. Yields what share of that is done, 0 to 1, each time
        after a short call at most, and ends when all is done; how long to wait in between, and
        for how long at all, is up to the caller. Meanwhile it can be written to, and perhaps
        not be searched. What is written meanwhile need not be settled.
        """
        ...

    def drop(self, name: str) -> None:
        """Delete a generation that is not live; a missing one is no error."""
        ...

    def upsert(self, records: Sequence[Record], *, generation: str) -> None:
        """Write all records, in batches; durable when it returns.

        Raises ValueError, before anything is written, when a vector has another dimension
        or is not finite.
        """
        ...

    def delete(self, ids: Sequence[str], *, generation: str) -> None:
        """Delete records; missing ones are no error; durable when it returns."""
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
        """The `limit` nearest products, best first, each by its best picture.

        With `exclude_ids` those pictures count for nothing, the others of their products do.
        """
        ...

    def vectors(self, ids: Sequence[str], *, generation: str) -> dict[str, NDArray[np.float32]]:
        """The stored vectors of those ids that exist."""
        ...

    def ids(self, *, generation: str) -> Iterator[str]:
        """Every id, in pages; for reconciling against the ledger."""
        ...

    def count(self, *, generation: str) -> int:
        """How many records it holds."""
        ...

    def describe(self) -> str:
        """One line for an operator: product, version, place. Never a secret."""
        ...

    def close(self) -> None:
        """Release connections, locks and files; the next call opens them again."""
        ...
