"""How fast the indexes write and answer: memory, a Milvus Lite file, servers given by URI.

    python -m benchmarks.index [--rows 1000 10000] [--dimension 512] [--uri http://…]

Every engine gets the same vectors in the same run, three pictures a product, written 256 at
a time; the median and the 95th percentile are of single searches for 24 products.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.indexes.base import Condition, Index, Record
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.indexes.milvus import MilvusIndex

BATCH = 256
SEARCHES = 60
LIMIT = 24
ONE_IN_TEN = (Condition(name="kind", operator="in", values=("kind 3",)),)


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
            filters={"kind": f"kind {number % 10}", "price": number / 100},
        )
        for number, vector in enumerate(vectors)
    ]


def time_searches(
    index: Index,
    queries: Sequence[NDArray[np.float32]],
    *,
    generation: str,
    conditions: Sequence[Condition] = (),
) -> tuple[float, float]:
    """Median and 95th percentile in milliseconds."""
    times = []
    for query in queries:
        started = time.perf_counter()
        matches = index.search(query, generation=generation, limit=LIMIT, conditions=conditions)
        times.append(1000 * (time.perf_counter() - started))
        assert len(matches) == LIMIT
    return float(np.percentile(times, 50)), float(np.percentile(times, 95))


def measure(name: str, index: Index, records: Sequence[Record], *, dimension: int) -> None:
    generation = index.create(fingerprint="benchmark", dimension=dimension).name
    started = time.perf_counter()
    for start in range(0, len(records), BATCH):
        index.upsert(records[start : start + BATCH], generation=generation)
    rate = len(records) / (time.perf_counter() - started)
    # A server answers from memory a little later than it acknowledges.
    assert index.count(generation=generation) == len(records)
    queries = [record.vector for record in records[:SEARCHES]]
    time_searches(index, queries[:3], generation=generation)
    plain = time_searches(index, queries, generation=generation)
    chosen = time_searches(index, queries, generation=generation, conditions=ONE_IN_TEN)
    figures = "".join(f"{figure:>10.1f}" for figure in (*plain, *chosen))
    print(f"{name:<24}{len(records):>8}{rate:>12.0f}{figures}", flush=True)
    index.drop(generation)
    index.close()


def engines(folder: Path, uris: Sequence[str]) -> Iterator[tuple[str, Index]]:
    yield "memory", MemoryIndex()
    yield "Milvus Lite, file", MilvusIndex(uri=folder / "index.db")
    for uri in uris:
        index = MilvusIndex(uri=uri, collection="mmsearch_benchmark", timeout=60)
        yield index.describe().split(" at ")[0], index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--uri", nargs="*", default=[], help="servers to measure as well")
    options = parser.parse_args()
    head = "".join(f"{title:>10}" for title in ("p50 ms", "p95 ms", "p50 1/10", "p95 1/10"))
    print(f"{'engine':<24}{'rows':>8}{'rows/s in':>12}{head}")
    for count in options.rows:
        records = make_records(count, dimension=options.dimension)
        with tempfile.TemporaryDirectory() as folder:
            for name, index in engines(Path(folder), options.uri):
                measure(name, index, records, dimension=options.dimension)


if __name__ == "__main__":
    main()
