"""Measure indexes of 10,000 to 1,000,000 vectors on a Milvus server, and in a Milvus Lite file.

    python -m benchmarks.scale [--sizes 10000 100000 1000000] [--types HNSW IVF_SQ8 …]
    python -m benchmarks.scale --lite [--sizes 10000 100000]
    python -m benchmarks.scale --table

Everything goes through `MilvusIndex`, with its own schema and its own calls; `scale_shop` says
what the vectors are like. A size is written once; then the index of each type is built from the
same rows. Results are appended to `results.jsonl` in the folder, and what is there is not
measured again, so that an interrupted run goes on. The table is printed from that file.

- recall@10: the share of the ten nearest products that a search for ten returns, over 200
  queries; the truth is NumPy's product of all vectors. "img" are new images of a product in the
  shop, "comp" compositions. "1/10" and "1/100": with a filter by value that keeps so many.
- p50, p95: milliseconds of a search for the 32 products that a page of 24 asks for.
- /s: searches a second of four threads.
- cpu: milliseconds of the server's processor time for a search, which says more than p50 if the
  machine is busy.
- build: seconds until the index is built and loaded, without the writing of the rows.
- bytes: memory of the server with the index loaded, less that without, by vectors. The server
  itself moves by some 300 MB meanwhile, so this says little below a million rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np

from benchmarks.scale_server import Server, memory, seconds, serve, shelter
from benchmarks.scale_shop import QUERIES, SHARES, Shop, conditions, make_record
from mmsearch_app.indexes.base import IndexFault, IndexUnavailable
from mmsearch_app.indexes.milvus import MilvusIndex
from mmsearch_app.indexes.milvus.index_types import build_params
from mmsearch_app.indexes.milvus.schema import make_index

SIZES = (10_000, 100_000, 1_000_000)
TYPES = ("AUTOINDEX", "HNSW", "IVF_FLAT", "IVF_SQ8", "SCANN", "IVF_PQ", "DISKANN")
LITE_TYPES = ("AUTOINDEX", "HNSW", "IVF_SQ8")
BATCH = 2_000
PAGE = 32
THREADS = 4
BUSY_SECONDS = 6
PATIENCE = 7_200

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One generation of one size, searched with one set of options."""

    shop: Shop
    index: MilvusIndex
    generation: str
    busy: Callable[[], float]
    """Returns the seconds of processor time that the engine has used."""

    def search(self, number: int, *, limit: int, name: str = "") -> list[str]:
        matches = self.index.search(
            self.shop.queries[number % QUERIES],
            generation=self.generation,
            limit=limit,
            conditions=conditions(name),
        )
        return [match.product for match in matches]

    def recall(self, name: str = "") -> tuple[float, float]:
        """Return recall@10 for images and for compositions."""
        truth, half = self.shop.truth(name)[:, :10], QUERIES // 2
        hits = [
            len(set(map(int, self.search(number, limit=10, name=name))) & {*map(int, nearest)})
            for number, nearest in enumerate(truth)
        ]
        return float(np.mean(hits[:half])) / 10, float(np.mean(hits[half:])) / 10

    def times(self, name: str = "") -> tuple[float, float, float]:
        """Return p50, p95 and processor time of a search in milliseconds."""
        search = partial(self.search, limit=PAGE, name=name)
        search(0)
        before = self.busy()
        taken = [clock(partial(search, number)) for number in range(QUERIES)]
        cost = (self.busy() - before) / QUERIES
        p50, p95 = np.percentile(taken, [50, 95])
        return 1000 * float(p50), 1000 * float(p95), 1000 * cost

    def rate(self) -> float:
        """Return searches a second of all threads."""
        until = time.monotonic() + BUSY_SECONDS

        def run(start: int) -> int:
            done = 0
            while time.monotonic() < until:
                self.search(start + done, limit=PAGE)
                done += 1
            return done

        with ThreadPoolExecutor(THREADS) as threads:
            return sum(threads.map(run, range(0, QUERIES, QUERIES // THREADS))) / BUSY_SECONDS

    def measure(self) -> Row:
        image, composed = self.recall()
        row: Row = {"recall_image": image, "recall_composed": composed}
        row["p50"], row["p95"], row["cpu"] = self.times()
        row["per_second"] = self.rate()
        for name in filter(None, SHARES):
            row[f"recall_{name}"] = float(np.mean(self.recall(name)))
            times = self.times(name)
            row[f"p50_{name}"], row[f"p95_{name}"], row[f"cpu_{name}"] = times
        return row


def clock(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fill(index: MilvusIndex, shop: Shop) -> str:
    """Return the generation with all images of the shop; writes what is missing."""
    for known in index.generations():
        rows = index.count(generation=known.name)
        if rows <= shop.count:
            break
    else:
        known, rows = index.create(fingerprint="scale", dimension=shop.dimension), 0
    for start in range(rows - rows % BATCH, shop.count, BATCH):
        records = shop.records(start, min(start + BATCH, shop.count))
        index.upsert(records, generation=known.name)
        if not start % 100_000:
            log(f"{start:,} of {shop.count:,} rows written")
    return known.name


def settle(index: MilvusIndex, generation: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            for share in index.settle(generation=generation):
                if time.monotonic() > deadline:
                    raise SystemExit(f"After {PATIENCE} s, only {share:.0%} of the index is built.")
                time.sleep(0.5)
        except IndexUnavailable:  # a million rows take the server minutes to load again
            if time.monotonic() > deadline:
                raise
            time.sleep(5)
        else:
            return


def switch(index: MilvusIndex, generation: str, index_type: str, params: Mapping[str, Any]) -> None:
    """Replace the index of a generation by one of another type."""
    call = index._connection.call
    call("release_collection", generation)
    if call("list_indexes", generation):
        call("drop_index", generation, "vector")
    call("create_index", generation, make_index(index_type, params), sync=False)
    call("load_collection", generation, _async=True)


def call_times(bench: Bench) -> Row:
    """Return milliseconds of the calls whose cost may grow with the rows."""
    index, name = bench.index, bench.generation
    if index.live() is None:
        index.promote(name)
    ids = [f"shop.Image:{number}" for number in range(0, bench.shop.count, bench.shop.count // 500)]
    saved = [make_record(n, bench.shop.vectors[n]) for n in range(100)]
    calls: dict[str, Callable[[], object]] = {
        "live": index.live,
        "generations": index.generations,
        "count": lambda: index.count(generation=name),
        "stored, 500 ids": lambda: index.stored(ids[:500], generation=name),
        "stored, 1 id": lambda: index.stored(ids[:1], generation=name),
        "contents, first 10 pages": lambda: deque_of(index.contents(generation=name), 40_960),
        "contents, all": lambda: deque_of(index.contents(generation=name), None),
        "search, 5 left out": lambda: index.search(
            bench.shop.queries[0], generation=name, limit=PAGE, exclude_products=list("12345")
        ),
        "search, 500 wanted": lambda: bench.search(0, limit=500),
        "upsert, 100": lambda: index.upsert(saved, generation=name),
        "delete, 100": lambda: index.delete([record.id for record in saved], generation=name),
        "upsert again, 100": lambda: index.upsert(saved, generation=name),
        "stamp": lambda: index.stamp(generation=name),
        "restamp": lambda: index.restamp("scale", generation=name),
    }
    return {label: 1000 * clock(work) for label, work in calls.items()}


def deque_of(pairs: Iterator[object], most: int | None) -> int:
    return sum(1 for _ in islice(pairs, most))


@dataclass(frozen=True, kw_only=True)
class Run:
    folder: Path
    dimension: int
    lite: bool
    search_params: Mapping[str, Any]
    index_params: Mapping[str, Any]
    label: str
    again: bool
    done: list[Row] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.folder / "results.jsonl"

    def load(self) -> list[Row]:
        if not self.results.exists():
            return []
        return [json.loads(line) for line in self.results.read_text().splitlines()]

    def has(self, **wanted: object) -> bool:
        return any(wanted.items() <= row.items() for row in self.load())

    def save(self, row: Row) -> None:
        with self.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        log(json.dumps(row))

    def open(self, uri: str | Path, size: int, index_type: str) -> MilvusIndex:
        return MilvusIndex(
            uri=uri,
            collection=f"scale_{self.dimension}_{size}",
            timeout=600,
            index_type=index_type,
            index_params=self.index_params,
            search_params=self.search_params,
        )

    def key(self, size: int, index_type: str) -> Row:
        engine = "lite" if self.lite else "server"
        return {
            "engine": engine,
            "rows": size,
            "dimension": self.dimension,
            "type": index_type,
            "label": self.label,
        }


def measure_server(run: Run, server: Server, sizes: Sequence[int], types: Sequence[str]) -> None:
    for size in sizes:
        wanted = [t for t in types if run.again or not run.has(**run.key(size, t))]
        if not wanted:
            continue
        shop = Shop(run.folder / "shop", size, run.dimension)
        for name in SHARES:
            shop.truth(name)
        write(run, server, shop)
        for index_type in wanted:
            try:
                row = build_and_measure(run, server, shop, index_type)
            except IndexFault as error:
                row = {"failed": str(error)[:300]}
            run.save({**run.key(size, index_type), **row})


def write(run: Run, server: Server, shop: Shop) -> None:
    index = run.open(server.uri, shop.count, "AUTOINDEX")
    started, before = time.perf_counter(), 0
    if known := index.generations():
        before = index.count(generation=known[-1].name)
    generation = fill(index, shop)
    taken = time.perf_counter() - started
    index._connection.call("flush", generation)
    if before < shop.count:
        row = {"written": shop.count - before, "seconds": taken}
        run.save({**run.key(shop.count, "rows"), **row})
    index.close()


def build_and_measure(run: Run, server: Server, shop: Shop, index_type: str) -> Row:
    index = run.open(server.uri, shop.count, index_type)
    generation = index.generations()[-1].name
    call = index._connection.call
    params = build_params(index_type, run.index_params, dimension=shop.dimension)
    started = time.perf_counter()
    if not built_as(index, generation, index_type, params):
        switch(index, generation, index_type, params)
    settle(index, generation)
    row: Row = {"build": time.perf_counter() - started}
    row["bytes"] = weigh(call, server, generation) / shop.count
    bench = Bench(shop=shop, index=index, generation=generation, busy=server.seconds)
    row |= bench.measure()
    if not run.has(calls=shop.count):
        run.save({**run.key(shop.count, "calls"), "calls": shop.count, **call_times(bench)})
    index.close()
    return row


def built_as(index: MilvusIndex, name: str, index_type: str, params: Mapping[str, Any]) -> bool:
    if not index._connection.call("list_indexes", name):
        return False
    found = index._connection.call("describe_index", name, "vector")
    same = all(str(found.get(key)) == str(value) for key, value in params.items())
    return same and found["index_type"] == index_type


def weigh(call: Callable[..., Any], server: Server, generation: str) -> int:
    """Return by how much the server grows when it loads a generation."""
    call("release_collection", generation)
    time.sleep(5)
    before = server.memory()
    call("load_collection", generation)
    time.sleep(2)
    return server.memory() - before


def measure_lite(run: Run, sizes: Sequence[int], types: Sequence[str]) -> None:
    for size in sizes:
        shop = Shop(run.folder / "shop", size, run.dimension)
        for index_type in types:
            if not run.again and run.has(**run.key(size, index_type)):
                continue
            path = run.folder / f"lite-{size}-{index_type}.db"
            before = memory()
            index = run.open(path, size, index_type)
            started = time.perf_counter()
            generation = fill(index, shop)
            written = time.perf_counter() - started
            bench = Bench(shop=shop, index=index, generation=generation, busy=seconds)
            row = {"build": written, **bench.measure()}
            row["bytes"] = (memory() - before) / size
            run.save({**run.key(size, index_type), **row})
            index.close()


HEAD = (
    "| rows | index | recall@10 img | comp | 1/10 | 1/100 | p50 ms | p95 ms | /s "
    "| p50 1/10 | p50 1/100 | cpu | cpu 1/10 | cpu 1/100 | build s | bytes |"
)


def print_tables(rows: Sequence[Row]) -> None:
    for engine in ("server", "lite"):
        print(f"\n{engine}\n\n{HEAD}\n|{' ---: |' * HEAD.count(' | ')}")
        for row in sorted(rows, key=lambda row: row["rows"]):
            if row["engine"] == engine and "p50" in row:
                print(table_line(row))
    for row in rows:
        if row["type"] in ("calls", "rows") or "failed" in row:
            print(json.dumps(row))


def table_line(row: Row) -> str:
    recalls = [row[f"recall_{name}"] for name in ("image", "composed", "tenth", "hundredth")]
    numbers = [f"{recall:.3f}" for recall in recalls]
    numbers += [f"{row[name]:.1f}" for name in ("p50", "p95")]
    numbers += [f"{row['per_second']:.0f}"]
    numbers += [f"{row[name]:.1f}" for name in ("p50_tenth", "p50_hundredth")]
    numbers += [f"{row[name]:.1f}" for name in ("cpu", "cpu_tenth", "cpu_hundredth")]
    numbers += [f"{row[name]:,.0f}" for name in ("build", "bytes")]
    name = f"{row['type']} {row['label']}".strip()
    return f"| {row['rows']:,} | {name} | {' | '.join(numbers)} |"


def log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def running(options: argparse.Namespace) -> AbstractContextManager[Server]:
    if options.uri:
        return nullcontext(Server(options.uri, options.pid))
    shelter("benchmarks.scale", sys.argv[1:])
    return serve(options.folder / "milvus")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--types", nargs="+")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--folder", type=Path, default=Path(gettempdir()) / "mmsearch-scale")
    parser.add_argument("--lite", action="store_true", help="a file instead of a server")
    parser.add_argument("--index-params", type=json.loads, default={}, help="as JSON")
    parser.add_argument("--search-params", type=json.loads, default={}, help="as JSON")
    parser.add_argument("--label", default="", help="name of these parameters in the table")
    parser.add_argument("--again", action="store_true", help="measure what is measured already")
    parser.add_argument("--uri", help="a server that runs on this machine already")
    parser.add_argument("--pid", type=int, help="its process")
    parser.add_argument("--table", action="store_true", help="only print the results")
    options = parser.parse_args()
    run = Run(
        folder=options.folder,
        dimension=options.dimension,
        lite=options.lite,
        search_params=options.search_params,
        index_params=options.index_params,
        label=options.label,
        again=options.again,
    )
    if not options.table and options.lite:
        measure_lite(run, options.sizes or SIZES[:2], options.types or LITE_TYPES)
    elif not options.table:
        with running(options) as server:
            measure_server(run, server, options.sizes or SIZES, options.types or TYPES)
    print_tables(run.load())


if __name__ == "__main__":
    main()
