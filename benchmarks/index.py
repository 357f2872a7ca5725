"""Measure how fast the indexes write and search: memory, a Milvus Lite file, Milvus servers.

    python -m benchmarks.index [--rows 1000 10000] [--dimension 512] [--uri http://…]

Every engine gets the same vectors in the same run, three images per product, written 256 at a
time; the measurement waits until a server has built its index. Searches are for 24 products, one
after the other: the median time and the searches per second without a filter, then with a filter
by value and one by number, each matching a tenth of the images. "again" is the second search
after the shop rejected one hit. Ratios compare with the search without a filter; "µs" is the
extra time of the slower filter per image in the index.

A server is started if the package milvus is installed; `--uri` names others.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.indexes.base import Condition, Index, Match, Record
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.indexes.milvus import MilvusIndex

BATCH = 256
SEARCHES = 40
LIMIT = 24
PATIENCE = 600
HEAD = (
    f"{'engine':<22}{'rows':>8}{'rows/s in':>11}{'p50 ms':>9}{'per s':>7}"
    f"{'by value':>11}{'ratio':>7}{'by number':>11}{'ratio':>7}{'µs':>6}{'again':>9}{'ratio':>7}"
)

Search = Callable[[NDArray[np.float32]], list[Match]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The speed of sequential searches."""

    p50: float
    """Milliseconds."""
    per_second: float

    def against(self, plain: Timing) -> str:
        return f"{self.p50:.1f}{self.p50 / plain.p50:>7.2f}"


def make_records(count: int, *, dimension: int) -> list[Record]:
    vectors = np.random.default_rng(7).normal(size=(count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        Record(
            id=f"shop.Image:{number}",
            product=str(number // 3),
            source="shop.Image",
            vector=vector,
            digest=f"{number:064x}",
            filters={"kind": f"kind {number % 10}", "price": number % 100 / 10},
        )
        for number, vector in enumerate(vectors)
    ]


def fill(index: Index, records: Sequence[Record], *, generation: str) -> float:
    """Write the records in batches and wait until they are indexed; returns rows per second."""
    started = time.perf_counter()
    for start in range(0, len(records), BATCH):
        index.upsert(records[start : start + BATCH], generation=generation)
    rate = len(records) / (time.perf_counter() - started)
    deadline = time.monotonic() + PATIENCE
    for share in index.settle(generation=generation):
        if time.monotonic() > deadline:
            msg = f"After {PATIENCE} s, only {share:.0%} of the index is built."
            raise SystemExit(msg)
        time.sleep(0.2)
    return rate


def time_searches(search: Search, queries: Sequence[NDArray[np.float32]]) -> Timing:
    times = []
    for query in queries:
        started = time.perf_counter()
        assert search(query), "nothing was found"
        times.append(time.perf_counter() - started)
    return Timing(p50=1000 * median(times), per_second=len(times) / sum(times))


def measure(name: str, index: Index, records: Sequence[Record], *, dimension: int) -> None:
    generation = index.create(fingerprint="benchmark", dimension=dimension).name
    rate = fill(index, records, generation=generation)
    queries = [record.vector for record in records[:SEARCHES]]
    search = partial(index.search, generation=generation, limit=LIMIT)
    time_searches(search, queries[:3])
    plain = time_searches(search, queries)
    value = Condition(name="kind", operator="in", values=("kind 3",))
    number = Condition(name="price", operator="lt", values=(1.0,))
    chosen, below = (
        time_searches(partial(search, conditions=[condition]), queries)
        for condition in (value, number)
    )
    matches = search(queries[0])
    again = partial(
        search,
        limit=1,
        exclude_products=[match.product for match in matches[:-1]],
        exclude_ids=[matches[-1].id],
    )
    second = time_searches(again, queries)
    added = 1000 * (max(chosen.p50, below.p50) - plain.p50) / len(records)
    print(
        f"{name:<22}{len(records):>8}{rate:>11.0f}{plain.p50:>9.1f}{plain.per_second:>7.0f}"
        f"{chosen.against(plain):>18}{below.against(plain):>18}{added:>6.1f}"
        f"{second.against(plain):>16}",
        flush=True,
    )
    index.drop(generation)
    index.close()


def engines(folder: Path, uris: Sequence[str]) -> Iterator[tuple[str, Index]]:
    yield "memory", MemoryIndex()
    yield "Milvus Lite, file", MilvusIndex(uri=folder / "index.db")
    for uri in uris:
        index = MilvusIndex(uri=uri, collection="mmsearch_benchmark", timeout=60)
        kind = "Milvus Lite, server" if index.single_writer else "Milvus server"
        yield kind, index


def start_server(stack: ExitStack) -> list[str]:
    from tests.indexes.milvus_server import find_obstacle, serve

    if obstacle := find_obstacle():
        print(f"Milvus server skipped: {obstacle}")
        return []
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mmsearch-milvus-"))
    return [stack.enter_context(serve(Path(folder) / "data"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--uri", nargs="*", default=[], help="more servers to measure")
    options = parser.parse_args()
    with ExitStack() as stack:
        uris = [*start_server(stack), *options.uri]
        print(HEAD)
        for count in options.rows:
            records = make_records(count, dimension=options.dimension)
            with tempfile.TemporaryDirectory() as folder:
                for name, index in engines(Path(folder), uris):
                    measure(name, index, records, dimension=options.dimension)


if __name__ == "__main__":
    main()
