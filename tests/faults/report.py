"""The page of the documentation about faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from tests.postgres import ROOT

PAGE = ROOT / "docs" / "reference" / "faults.md"
HEAD = """# Faults that are tried

<!-- Written by `make faults-table`. -->

`make faults` injects each of these faults into a shop of twelve pictures, with a real PostgreSQL,
a real Milvus server or Milvus Lite, S3 by moto, and Redis. A visitor searches all the time. When
the fault is over and what is named in the last column but one has healed it, shop, index and
ledger are compared in full: every picture that visitors should find has exactly one record with
the right digest, the right product, the right filters and a vector that equals the one computed
anew from the file and the title; there is no record too many, and nothing is left to do.

- **lost meanwhile**: pictures, of twelve, that the index does not contain or contains in an old
  version when the fault is over, before anything has healed it; "–" if the index or the database
  cannot be asked while the fault lasts.
- **shown stale**: products that a visitor saw though the shop itself showed them neither before
  nor after that search, or under another title.
- **visitors got**: the statuses of the search's answers. 503 says that the search is not
  available at the moment; 500 comes from the shop's own pages while its database is down.
- **healed by**: what it takes at least; "a worker" needs no person.
- **after**: seconds, with leases of one second and without the pauses between two attempts.
"""


def make_page(seen: Sequence[Mapping[str, Any]]) -> str:
    """Return the page for what a run has seen."""
    total = f"\n{len(seen)} faults; all were healed, and nothing stale was shown.\n"
    return HEAD + total + "".join(_make_table(g, rows) for g, rows in _grouped(seen))


def _grouped(seen: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, list[Mapping[str, Any]]]]:
    ordered = sorted(seen, key=lambda row: row["number"])
    return [(group, list(rows)) for group, rows in groupby(ordered, lambda row: row["group"])]


def _make_table(group: str, rows: Iterable[Mapping[str, Any]]) -> str:
    lines = [
        f"\n## {group}\n",
        "| fault | lost meanwhile | shown stale | visitors got | healed by | after |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lost = "–" if row["lost"] is None else row["lost"]
        statuses = ", ".join(sorted(s for s in row["answers"] if s != "0"))
        healer = f"`{row['healed by']}`" if row["healed by"].startswith("mm") else row["healed by"]
        cells = [row["fault"], lost, row["stale"], statuses, healer, f"{row['seconds']:.1f} s"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
