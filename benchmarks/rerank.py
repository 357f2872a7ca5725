"""Measure reranking: completeness, the damage of a bad model, deadlines and costs.

    python -m benchmarks.rerank [--parts completeness fusion hanging costs]
        [--size small|256m|2b] [--candidates 5 9] [--device cuda]

Every part prints tables in Markdown; all of them take some minutes. The models are small and have
random weights: nothing is downloaded, and the results say nothing about the quality of an order.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks import completeness, fusion, hanging, rerank_costs

PARTS = ("completeness", "fusion", "hanging", "costs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--size", choices=rerank_costs.SIZES, default="small")
    parser.add_argument("--candidates", type=int, nargs="+", default=[5, 9])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    asked = parser.parse_args()
    tables: dict[str, Callable[[], str]] = {
        "completeness": completeness.render,
        "fusion": fusion.render,
        "hanging": hanging.render,
        "costs": lambda: rerank_costs.render(
            asked.size,
            asked.candidates,
            device=asked.device,
            dtype=asked.dtype,
            repeat=asked.repeat,
            batch=asked.batch,
        ),
    }
    for part in asked.parts:
        print(tables[part](), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
