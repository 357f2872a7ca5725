"""Generations in Milvus: one collection each, and an alias that points to the live one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmsearch_app.indexes.base import IndexMissing, IndexUnavailable
from mmsearch_app.indexes.milvus_schema import (
    FINGERPRINT,
    make_index,
    make_schema,
    read_generation,
)
from mmsearch_app.indexes.records import age_of, is_generation, name_generation

if TYPE_CHECKING:
    from mmsearch_app.indexes.base import Generation
    from mmsearch_app.indexes.milvus_connection import Connection

__all__ = ["Generations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generations:
    """The generations behind the alias `collection`, with how new ones are indexed."""

    connection: Connection
    collection: str
    index_type: str
    index_params: Mapping[str, Any]
    _known: dict[str, Generation] = field(default_factory=dict)
    """By name; a description never changes, so it is asked for once."""

    def live(self) -> Generation | None:
        """Asks every time (0.7 ms in Lite, 2 ms on a server): others may have promoted."""
        name = self._aliased()
        try:
            return self.find(name) if name else None
        except IndexMissing:
            # Promoted and dropped elsewhere in between: the new one is there.
            name = self._aliased()
            return self.find(name) if name else None

    def all(self) -> list[Generation]:
        names = self.connection.call("list_collections")
        own = [name for name in names if is_generation(name, collection=self.collection)]
        return [self.find(name) for name in sorted(own, key=age_of)]

    def create(self, *, fingerprint: str, dimension: int) -> Generation:
        name = name_generation(self.collection, fingerprint)
        # The graph of Lite loses hits under a filter: 1 of 20 came back out of 20,000 rows.
        exact = self.index_type == "AUTOINDEX" and self.connection.lite
        index = make_index("FLAT" if exact else self.index_type, self.index_params)
        with self.connection.turn():
            self.connection.call(
                "create_collection",
                name,
                schema=make_schema(dimension),
                # What reads with `iterator` get, whatever they ask for; visitors ask for less.
                consistency_level="Strong",
                properties={FINGERPRINT: fingerprint},
            )
            # In one call pymilvus would look for the index every 0.5 s, with no time limit.
            self.connection.call("create_index", name, index, sync=False)
            self.connection.call("load_collection", name)
        return self.find(name)

    def promote(self, name: str) -> None:
        self._known.pop(name, None)
        self.find(name)
        method = "alter_alias" if self._aliased() else "create_alias"
        self.connection.call(method, name, self.collection)

    def drop(self, name: str) -> None:
        if name == self._aliased():
            msg = f"{name} is live; promote another generation before dropping it."
            raise ValueError(msg)
        if not is_generation(name, collection=self.collection):
            msg = f"{name} is no generation of {self.collection}; nothing was dropped."
            raise ValueError(msg)
        self._known.pop(name, None)
        self.connection.call("drop_collection", name)

    def find(self, name: str) -> Generation:
        known = self._known.get(name)
        if known is None:
            known = read_generation(self.connection.call("describe_collection", name))
            if known is None:
                msg = f"{name} is a collection, but no generation of {self.collection}."
                raise IndexMissing(msg)
            self._known[name] = known
        return known

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
            raise IndexUnavailable(msg)
