"""Print the arithmetic of `docs/scale.md`: `python -m benchmarks.scale_arithmetic`.

Memory and disk by index type, from the sizes of what each type stores; workers by rate. No
measurement: `benchmarks.scale` measures what a server really takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from math import ceil

from mmsearch_app.indexes.milvus.index_types import CELLS, GRAPH, SUBSPACE

DIMENSIONS = (512, 768, 1024)
COUNTS = (1_000_000, 10_000_000, 100_000_000)
FLOAT, ID = 4, 8
"""Bytes of a number of a vector, and of a row's number within a segment."""
DEGREE, SECTOR = 56, 4096
"""Milvus' default for DISKANN: neighbours of a vector; bytes read at once."""
BUDGET = 0.125
"""Milvus' default for DISKANN: the share of the vectors that stays in memory, compressed."""
GIB = 1 << 30
WEEK = 7 * 24 * 3600
RATES = (1, 5, 15, 50, 200, 1_000)
"""Pictures a second of one worker."""


def graph() -> float:
    """Return the bytes of links of one vector: 2 M at the bottom, M on each level above.

    One in M vectors reaches the first level above, one in M of those the next.
    """
    links = int(GRAPH["M"])
    return FLOAT * (2 * links + 1) + FLOAT * (links + 1) / (links - 1)


def hnsw(dimension: int) -> float:
    return FLOAT * dimension + ID + graph()


def hnsw_sq(dimension: int) -> float:
    return dimension + ID + graph()


def ivf_flat(dimension: int) -> float:
    return FLOAT * dimension + ID


def ivf_sq8(dimension: int) -> float:
    return dimension + ID


def scann(dimension: int) -> float:
    """Four bits for each two dimensions, beside the vectors by which the best are ordered."""
    return FLOAT * dimension + dimension / 4 + ID


def ivf_pq(dimension: int) -> float:
    return dimension / SUBSPACE + ID


def ivf_rabitq(dimension: int) -> float:
    """One bit for each dimension, and two numbers."""
    return dimension / 8 + 2 * FLOAT + ID


def diskann(dimension: int) -> float:
    return BUDGET * FLOAT * dimension


def diskann_disk(dimension: int) -> float:
    """A vector with its links, as many to a sector as fit."""
    node = FLOAT * dimension + FLOAT * (DEGREE + 1)
    return SECTOR / (SECTOR // node) if node <= SECTOR else SECTOR * ceil(node / SECTOR)


MEMORY: dict[str, Callable[[int], float]] = {
    "HNSW, AUTOINDEX": hnsw,
    "HNSW_SQ": hnsw_sq,
    "IVF_FLAT": ivf_flat,
    "IVF_SQ8": ivf_sq8,
    "SCANN": scann,
    "IVF_PQ": ivf_pq,
    "IVF_RABITQ": ivf_rabitq,
    "DISKANN": diskann,
    "DISKANN, on disk": diskann_disk,
    "vectors in the object store": lambda dimension: FLOAT * dimension,
}


def row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def print_vectors() -> None:
    head = [f"{dimension} d" for dimension in DIMENSIONS]
    print(f"Bytes of a vector (M = {GRAPH['M']}, nlist = {CELLS['nlist']})\n")
    print(row(["index type", *head]))
    print(row(["---", *["---:"] * len(head)]))
    for name, size in MEMORY.items():
        print(row([name, *[f"{size(dimension):,.0f}" for dimension in DIMENSIONS]]))


def print_totals(overhead: int) -> None:
    head = [f"{count // 1_000_000} M × {d}" for count in COUNTS for d in DIMENSIONS]
    print(f"\nGiB, with {overhead} bytes a row for the other columns in memory\n")
    print(row(["index type", *head]))
    print(row(["---", *["---:"] * len(head)]))
    for name, size in MEMORY.items():
        more = overhead if "disk" not in name and "store" not in name else 0
        cells = [count * (size(d) + more) / GIB for count in COUNTS for d in DIMENSIONS]
        print(row([name, *[f"{cell:,.1f}" if cell < 10 else f"{cell:,.0f}" for cell in cells]]))


def print_workers() -> None:
    print("\nWorkers\n")
    print(row(["pictures/s of a worker", "100 M in a week", "1,000 a minute", "one worker, 1 M"]))
    print(row(["---:"] * 4))
    for rate in RATES:
        week = ceil(COUNTS[-1] / WEEK / rate)
        days = COUNTS[0] / rate / 86_400
        alone = f"{days:.1f} days" if days >= 1 else f"{24 * days:.1f} h"
        print(row([f"{rate:,}", week, ceil(1_000 / 60 / rate), alone]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--overhead", type=int, default=600, help="bytes of the other columns")
    options = parser.parse_args()
    print_vectors()
    print_totals(options.overhead)
    print_workers()


if __name__ == "__main__":
    main()
