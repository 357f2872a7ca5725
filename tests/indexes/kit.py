"""Helpers for tests of indexes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.indexes.base import Condition, Generation, Index, Record

ROOT = Path(__file__).resolve().parents[2]

NASTY = [
    'dou"ble',
    "sin'gle",
    "back\\slash",
    "ends in \\",
    "new\nline",
    "carriage\rreturn",
    "tab\tstop",
    "per%cent_under",
    "zażółć gęślą",
    "日本語",
    "🧵",
    "a\u2028b",
    "\\n",
    '\\"',
    "\x01",
    "{template}",
    "$meta",
    "a/b~c",
    "0",
    "",
    '" or id != "',
    "' or 1 == 1 or '",
    '"]) or (id != "',
    '"]) or not json_contains_any(filters["texts"]["x"], ["',
]
"""Texts that break filters built by string concatenation."""


def unit(*components: float) -> NDArray[np.float32]:
    vector = np.array(components, dtype=np.float32)
    return np.asarray(vector / np.linalg.norm(vector))


def units(count: int, *, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def record(
    key: str,
    vector: NDArray[np.float32] | None = None,
    *,
    product: str | None = None,
    digest: str = "",
    **filters: object,
) -> Record:
    return Record(
        id=key,
        product=key if product is None else product,
        source="shop.Image",
        vector=unit(1, 0, 0, 0) if vector is None else vector,
        digest=digest,
        filters=filters,  # type: ignore[arg-type]
    )


def records(count: int, *, dimension: int = 4, prefix: str = "r") -> list[Record]:
    return [
        record(f"{prefix}{number:05}", vector)
        for number, vector in enumerate(units(count, dimension=dimension))
    ]


def where(name: str, operator: str, *values: object) -> Condition:
    return Condition(name=name, operator=operator, values=values)  # type: ignore[arg-type]


def run_python(
    code: str, *arguments: str, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run code in a new process that can import the project and this module."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


AHEAD = unit(1, 0, 0, 0)


def found(index: Index, generation: Generation, *conditions: Condition, **options: Any) -> set[str]:
    matches = index.search(
        AHEAD, generation=generation.name, limit=100, conditions=conditions, **options
    )
    return {match.id for match in matches}
