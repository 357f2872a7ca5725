"""Generations in Milvus: one collection each, and an alias that points to the live one."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmsearch_app.indexes.base import IndexMissing, IndexRefused
from mmsearch_app.indexes.milvus.filters import is_flat
from mmsearch_app.indexes.milvus.index_types import build_params
from mmsearch_app.indexes.milvus.schema import (
    FINGERPRINT,
    STAMP,
    describe_fields,
    make_index,
    make_schema,
    read_generation,
)
from mmsearch_app.indexes.records import age_of, is_generation, name_generation

if TYPE_CHECKING:
    from mmsearch_app.indexes.base import Generation
    from mmsearch_app.indexes.milvus.connection import Connection

log = logging.getLogger(__name__)

INDEXED_FROM = 1024
"""Milvus builds no index for fewer rows; it scans them."""
LOADING = 0.9
"""Share of `settle` that is finished when the index is built, before it is loaded."""
RECENT = 1.0
"""Seconds for which a search may rely on which generation was live."""


class RecentlyLive:
    """The live generation as it was last asked for; a promotion in this process forgets it.

    Needs no lock: what was asked before a promotion carries an older mark, and does not count.
    """

    def __init__(self) -> None:
        self._kept: tuple[object, float, Generation] | None = None
        self.forget()

    def forget(self) -> None:
        self.mark = object()

    def keep(self, generation: Generation | None, *, mark: object) -> None:
        """Keep what was asked when `mark` was the current one."""
        if generation is not None:
            self._kept = mark, time.monotonic() + RECENT, generation

    def find(self) -> Generation | None:
        """Return it if it is recent enough."""
        if self._kept is None:
            return None
        mark, until, generation = self._kept
        return generation if mark is self.mark and time.monotonic() < until else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generations:
    """The collections behind the alias `collection`."""

    connection: Connection
    collection: str
    index_type: str
    index_params: Mapping[str, Any]
    _types: dict[str, str] = field(default_factory=dict)
    """Index type by name of the generation."""
    _known: dict[str, tuple[Generation, bool]] = field(default_factory=dict)
    """By name, with whether its filters are flat. Descriptions never change, so they are cached."""
    recent: RecentlyLive = field(default_factory=RecentlyLive)

    def live(self) -> Generation | None:
        """Return the live generation, asked for every time (0.7 ms in Lite, 2 ms on a server)."""
        mark = self.recent.mark
        found = self._ask_live()
        self.recent.keep(found, mark=mark)
        return found

    def _ask_live(self) -> Generation | None:
        name = self._aliased()
        try:
            return self._find_own(name) if name else None
        except IndexMissing:
            # Another process promoted a new one and dropped this one in between.
            name = self._aliased()
            return self._find_own(name) if name else None

    def all(self) -> list[Generation]:
        names = self.connection.call("list_collections")
        found = []
        for name in sorted(names, key=age_of):
            if is_generation(name, collection=self.collection):
                with suppress(IndexMissing):  # dropped by another process since
                    found.append(self.find(name))
        return found

    def create(self, *, fingerprint: str, dimension: int) -> Generation:
        name = name_generation(self.collection, fingerprint)
        lite = self.connection.lite
        params = build_params(self.index_type, self.index_params, dimension=dimension)
        index = make_index(self._wanted_type, params)
        with self.connection.turn():
            self.connection.call(
                "create_collection",
                name,
                schema=make_schema(dimension, flat=lite),
                # Reads with `iterator` always get this level; visitors ask for less.
                consistency_level="Strong",
                properties={FINGERPRINT: fingerprint},
            )
            # In one call pymilvus would poll for the index every 0.5 s, without a time limit.
            self.connection.call("create_index", name, index, sync=False)
            self.connection.call("load_collection", name)
        return self.find(name)

    def settle(self, name: str) -> Iterator[float]:
        """Seal the collection, wait for its index, and load it again.

        A server searches growing segments with a coarse index (2.3 finds half of the rows). Left
        alone, it switches to the built index some ten seconds later and does not report when.
        Milvus Lite needs nothing: it has indexed all that it has written.
        """
        rows = self.count(name)
        if self.connection.lite or rows < INDEXED_FROM:
            return
        self.connection.call("flush", name, _async=True)
        while (built := self._built(name, rows)) < 1:
            yield built * LOADING
        if name == self._aliased():
            return  # promoted by another process: visitors are using it
        self.connection.call("release_collection", name)
        self.connection.call("load_collection", name, _async=True)
        while (state := self.connection.call("get_load_state", name))["state"].name != "Loaded":
            yield LOADING + (1 - LOADING) * state.get("progress", 0) / 100

    def promote(self, name: str) -> None:
        self._known.pop(name, None)
        self.find(name)
        method = "alter_alias" if self._aliased() else "create_alias"
        try:
            self.connection.call(method, name, self.collection)
        finally:
            self.recent.forget()

    def drop(self, name: str) -> None:
        if name == self._aliased():
            msg = f"{name} is live; promote another generation before dropping it."
            raise ValueError(msg)
        if not is_generation(name, collection=self.collection):
            msg = f"{name} is not a generation of {self.collection}; nothing was dropped."
            raise ValueError(msg)
        self._known.pop(name, None)
        self.connection.call("drop_collection", name)

    def find(self, name: str) -> Generation:
        return self._look_up(name)[0]

    def _find_own(self, name: str) -> Generation:
        """Return what the alias points to. Raises IndexRefused if mmsearch did not make it."""
        if name not in self._known:
            described = self.connection.call("describe_collection", name)
            if read_generation(described) is None:
                msg = (
                    f"The alias {self.collection!r} points to the collection {name!r}, which "
                    f"mmsearch did not make: it has {describe_fields(described)}; expected was a "
                    f"collection named {self.collection}_<fingerprint>_<time> with the property "
                    f"{FINGERPRINT}. Set another MMSEARCH['INDEX']['OPTIONS']['collection']."
                )
                raise IndexRefused(msg)
        return self.find(name)

    def stamp(self, name: str) -> str:
        described = self.connection.call("describe_collection", name)
        return str(described["properties"].get(STAMP, ""))

    def restamp(self, text: str, name: str) -> None:
        with self.connection.turn():
            self.connection.call("alter_collection_properties", name, properties={STAMP: text})

    def is_flat(self, name: str) -> bool:
        """Whether its filters are flat; see `filters`."""
        return self._look_up(name)[1]

    def index_type_of(self, name: str) -> str:
        """Return the type that its index was built with, which the options may not say any more."""
        if name not in self._types:
            state = self.connection.call("describe_index", name, "vector")
            self._types[name] = str(state["index_type"]) if state else self.index_type
            self._explain(self._types[name], name)
        return self._types[name]

    @property
    def _wanted_type(self) -> str:
        # Lite's HNSW loses hits under a filter: 1 of 20 came back out of 20,000 rows.
        exact = self.connection.lite and self.index_type == "AUTOINDEX"
        return "FLAT" if exact else self.index_type

    def _explain(self, index_type: str, name: str) -> None:
        if index_type != self._wanted_type:
            log.warning(
                "The index of %s is of the type %s, while the options say %s: mmsearch_reindex "
                "builds a new one.",
                name,
                index_type,
                self._wanted_type,
            )

    def count(self, name: str) -> int:
        (row,) = self.connection.call(
            "query", name, filter="", output_fields=["count(*)"], consistency_level="Strong"
        )
        return int(row["count(*)"])

    def _look_up(self, name: str) -> tuple[Generation, bool]:
        known = self._known.get(name)
        if known is None:
            described = self.connection.call("describe_collection", name)
            generation = read_generation(described)
            if generation is None:
                msg = f"{name} is a collection, but not a generation of {self.collection}."
                raise IndexMissing(msg)
            known = self._known[name] = generation, is_flat(described)
        return known

    def _built(self, name: str, rows: int) -> float:
        """Return the indexed share of `rows`. Rows deleted meanwhile may never be indexed."""
        state = self.connection.call("describe_index", name, "vector")
        if state is None:
            return 1.0  # the index was dropped by hand: none will be built
        indexed, pending = state["indexed_rows"], state["pending_index_rows"]
        if pending:  # "state" says Finished even so
            return float(indexed / (indexed + pending))
        rows = min(rows, self.count(name))
        return min(1.0, indexed / rows) if rows else 1.0

    def _aliased(self) -> str | None:
        try:
            alias = self.connection.call("describe_alias", self.collection)
        except IndexMissing:
            self._refuse_namesake()
            return None
        return str(alias["collection_name"])

    def _refuse_namesake(self) -> None:
        if self.connection.call("has_collection", self.collection):
            msg = (
                f"A collection named {self.collection!r} exists, and mmsearch needs the name for "
                "an alias. Rename it or set MMSEARCH['INDEX']['OPTIONS']['collection']."
            )
            raise IndexRefused(msg)
