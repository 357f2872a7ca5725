"""The index in Milvus: a Lite file, a Lite server, a server or cluster, Zilliz Cloud."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.indexes.base import Match, Stored
from mmsearch_app.indexes.milvus.connection import Connection
from mmsearch_app.indexes.milvus.filters import one_of, quote, select
from mmsearch_app.indexes.milvus.generations import RECENT, Generations
from mmsearch_app.indexes.milvus.index_types import check_index_type, has_cells, search_params
from mmsearch_app.indexes.milvus.schema import METRIC, batches, check_options, make_row
from mmsearch_app.indexes.records import check_query, check_record
from mmsearch_app.inference import renew_after_fork

if TYPE_CHECKING:
    from mmsearch_app.indexes.base import Condition, Generation, Record

MAX_LIMIT = 16_384
"""A server's limit for hits or rows per call."""
PAGE = MAX_LIMIT
"""Ids read per call. A server looks at all rows for each."""
SPARE = 4
"""Images fetched per wanted product, in the first round."""
LEAST_SPARE = 1.25
"""The same in Milvus Lite, where each image costs 0.06 ms, if recent searches needed no more."""
SLOWNESS = 0.8
"""What is left of the spare images after a search that needed none of them."""


class MilvusIndex:
    """An `Index` in Milvus. Each generation is a collection; `collection` names the alias.

    - `uri`: an http(s) URL, or a path that ends in .db (Milvus Lite), relative to BASE_DIR if the
      settings define it.
    - `token`: `user:password` or an API key; `database`: empty for the default one.
    - `timeout`: seconds per call.
    - `index_type`, `index_params`, `search_params`: as Milvus documents them; all parameters have
      defaults. Milvus Lite supports AUTOINDEX (exact there), FLAT, HNSW, HNSW_SQ, IVF_FLAT and
      IVF_SQ8. A new type, or new `index_params`, are for the generations created from then on.
    - `consistency`: of visitors' searches. Indexing and reconciling always read with Strong.

    Raises ValueError for an unknown option value, or an unknown name of a parameter.
    """

    def __init__(
        self,
        *,
        uri: str | os.PathLike[str] = "mmsearch.db",
        token: str = "",
        collection: str = "product_images",
        database: str = "",
        timeout: float = 10.0,
        index_type: str = "AUTOINDEX",
        index_params: Mapping[str, Any] | None = None,
        search_params: Mapping[str, Any] | None = None,
        consistency: str = "Bounded",
    ) -> None:
        self._connection = Connection(uri=uri, token=token, database=database, timeout=timeout)
        self.shared = self._connection.path is None
        self.live_lag = RECENT if self.shared else 0.0
        check_options(collection=collection, timeout=timeout, consistency=consistency)
        check_index_type(index_type, index_params or {}, search_params or {}, lite=not self.shared)
        self.collection = collection
        self._search_params = dict(search_params or {})
        self._consistency = consistency
        self._generations = Generations(
            connection=self._connection,
            collection=collection,
            index_type=index_type,
            index_params=dict(index_params or {}),
        )
        self._spare = float(SPARE)
        renew_after_fork(self._forget_live)

    def _forget_live(self) -> None:
        self._generations.recent.forget()

    @property
    def single_writer(self) -> bool:
        """Whether only one process may write, which is so for Milvus Lite. Connects."""
        return self._connection.lite

    def live(self) -> Generation | None:
        return self._generations.live()

    def recently_live(self) -> Generation | None:
        return self._generations.recent.find() or self.live()

    def generations(self) -> list[Generation]:
        return self._generations.all()

    def create(self, *, fingerprint: str, dimension: int) -> Generation:
        return self._generations.create(fingerprint=fingerprint, dimension=dimension)

    def promote(self, name: str) -> None:
        self._generations.promote(name)

    def settle(self, *, generation: str) -> Iterator[float]:
        return self._generations.settle(generation)

    def drop(self, name: str) -> None:
        self._generations.drop(name)

    def upsert(self, records: Sequence[Record], *, generation: str) -> None:
        known, flat = self._generations.find(generation), self._generations.is_flat(generation)
        # The last of equal ids wins: a server would store all that come in one call.
        rows = {
            record.id: make_row(
                record, check_record(record, dimension=known.dimension), generation=known, flat=flat
            )
            for record in records
        }
        # In Lite an insert replaces the row; an upsert would keep its old dynamic fields.
        write = "insert" if flat else "upsert"
        with self._connection.turn():
            for batch in batches([*rows.values()], dimension=known.dimension):
                self._connection.call(write, generation, data=batch)
            self._flush(generation)

    def delete(self, ids: Sequence[str], *, generation: str) -> None:
        with self._connection.turn():
            for batch in batches(ids):
                self._connection.call("delete", generation, filter=one_of("id", batch))
            self._flush(generation)

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
        """Search in rounds until `limit` products are found or nothing is left.

        Each round excludes the products found before. Milvus' own grouping is not used: 2.3
        ignores it for rows that are not indexed yet, and Lite groups after applying the limit.
        """
        dimension = self._generations.find(generation).dimension
        flat = self._generations.is_flat(generation)
        unit = check_query(vector, dimension=dimension, limit=limit)
        best: dict[str, Match] = {}
        wanted = math.ceil(limit * self._spare) if self._connection.lite else limit * SPARE
        everywhere = False
        while len(best) < limit:
            expression = select(
                conditions, flat=flat, without=[*exclude_products, *best], without_ids=exclude_ids
            )
            asked = min(wanted, MAX_LIMIT)
            hits = self._hits(unit, generation, expression, limit=asked, everywhere=everywhere)
            used = _add(best, hits, enough=limit)
            if len(hits) < asked:
                if everywhere or not has_cells(self._generations.index_type_of(generation)):
                    break
                everywhere = True  # the nearest cells contain too few that pass the filter
                continue
            self._learn(used / limit, enough=len(best) >= limit)
            wanted *= SPARE
        return sorted(best.values(), key=lambda match: (-match.score, match.id))[:limit]

    def stored(self, ids: Sequence[str], *, generation: str) -> dict[str, Stored]:
        return self._stored(ids, generation, consistency="Strong")

    def recently_stored(self, ids: Sequence[str], *, generation: str) -> dict[str, Stored]:
        return self._stored(ids, generation, consistency=self._consistency)

    def _stored(
        self, ids: Sequence[str], generation: str, *, consistency: str
    ) -> dict[str, Stored]:
        known = self._generations.find(generation)
        columns = _version_columns(known)
        found: dict[str, Stored] = {}
        for batch in batches(ids, dimension=known.dimension):
            rows = self._rows(
                generation, one_of("id", batch), *columns, "vector", consistency_level=consistency
            )
            for row in rows:
                vector = np.asarray(row["vector"], dtype=np.float32)
                found[row["id"]] = Stored(vector=vector, content=row.get("content", ""))
        return found

    def contents(self, *, generation: str) -> Iterator[tuple[str, str]]:
        columns = _version_columns(self._generations.find(generation))
        last = ""
        while True:
            # The two options make Milvus return rows ordered by id.
            rows = self._rows(
                generation,
                f"id > {quote(last)}",
                *columns,
                consistency_level="Strong",
                limit=PAGE,
                iterator="True",
                reduce_stop_for_best="True",
            )
            if not rows:
                return
            yield from ((row["id"], row.get("content", "")) for row in rows)
            last = rows[-1]["id"]

    def count(self, *, generation: str) -> int:
        return self._generations.count(generation)

    def stamp(self, *, generation: str) -> str:
        return self._generations.stamp(generation)

    def restamp(self, text: str, *, generation: str) -> None:
        self._generations.restamp(text, generation)

    def describe(self) -> str:
        place = self._connection.place
        return f"{self._connection.version} at {place}, collection {self.collection!r}"

    def close(self) -> None:
        self._connection.close()

    def _hits(
        self,
        unit: NDArray[np.float32],
        generation: str,
        expression: str,
        *,
        limit: int,
        everywhere: bool,
    ) -> list[Match]:
        index_type = self._generations.index_type_of(generation)
        params = search_params(index_type, self._search_params, limit=limit, everywhere=everywhere)
        (hits,) = self._connection.call(
            "search",
            generation,
            data=[unit],
            anns_field="vector",
            filter=expression,
            limit=limit,
            output_fields=["id", "product", "source", "digest"],
            search_params={"metric_type": METRIC, "params": params},
            consistency_level=self._consistency,
        )
        return [Match(score=min(1.0, max(-1.0, hit["distance"])), **hit["entity"]) for hit in hits]

    def _learn(self, used: float, *, enough: bool) -> None:
        """Remember how many images a wanted product took, for the next search of Milvus Lite."""
        if enough:
            least = max(LEAST_SPARE, LEAST_SPARE * used)
            self._spare = min(SPARE, max(least, SLOWNESS * self._spare))
        else:
            self._spare = float(SPARE)

    def _rows(self, generation: str, expression: str, *columns: str, **options: Any) -> Any:
        return self._connection.call(
            "query", generation, filter=expression, output_fields=list(columns), **options
        )

    def _flush(self, generation: str) -> None:
        """Flush Milvus Lite to disk; a server has done so already."""
        if self._connection.lite:
            self._connection.call("flush", generation)


def _add(best: dict[str, Match], hits: Sequence[Match], *, enough: int) -> int:
    """Add the best hit of each product; return how many hits `enough` products took."""
    used = 0
    for match in hits:
        used += len(best) < enough
        best.setdefault(match.product, match)
    return used


def _version_columns(generation: Generation) -> tuple[str, ...]:
    """Return the columns that say which version of an image a record is of."""
    return ("id", "content") if generation.keeps_content else ("id",)
