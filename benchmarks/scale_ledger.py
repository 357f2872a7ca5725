"""Measure the size of the ledger: `python -m benchmarks.scale_ledger [--rows N]`.

Prints the bytes of a row with its indexes on SQLite and PostgreSQL, for rows as a worker leaves
them, right after they were written and after every row was marked and indexed once more.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsearch_app.models import Entry

ROOT = Path(__file__).resolve().parent.parent
BATCH = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.rows)
        return
    from tests.postgres import cluster, find_binaries

    run("SQLite", "", options.rows)
    if find_binaries() is None:
        print("PostgreSQL skipped: it is not installed")
        return
    with cluster() as url:
        run("PostgreSQL", url, options.rows)


def run(title: str, url: str, rows: int) -> None:
    """Measure in a new process, with a new database."""
    print(f"{title}, {rows:,} rows", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DATABASE_URL": url, "SHOP_DATA": folder}
        command = [sys.executable, "-m", "benchmarks.scale_ledger", "--measure", f"--rows={rows}"]
        subprocess.run(command, check=True, cwd=ROOT, env=environment)


def measure(rows: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from mmsearch_app.models import Entry, State

    call_command("migrate", run_syncdb=True, verbosity=0)
    empty = size()
    Entry.objects.bulk_create(make_entries(rows), batch_size=BATCH)
    print(f"  written once: {(size() - empty) / rows:.0f} bytes a row")
    now = timezone.now()
    Entry.objects.update(state=State.PENDING, due_at=now, wanted=uuid.uuid4())
    Entry.objects.update(state=State.INDEXED, due_at=None, indexed_at=now)
    print(f"  after one more change of all rows: {(size() - empty) / rows:.0f} bytes a row")


def make_entries(rows: int) -> Iterator[Entry]:
    from django.utils import timezone

    from mmsearch_app.indexes.records import name_generation
    from mmsearch_app.models import Entry, State

    now, generation = timezone.now(), name_generation("product_images", "model")
    for number in range(rows):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        yield Entry(
            source="catalogue.productimage",
            object_pk=str(number),
            state=State.INDEXED,
            marked_at=now,
            indexed_at=now,
            generation=generation,
            digest=digest,
            content=digest[::-1],
            signature=digest[:32],
        )


def size() -> int:
    """Return the bytes of the ledger's table and its indexes."""
    from django.db import connection

    from mmsearch_app.models import Entry

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_total_relation_size(%s)", [Entry._meta.db_table])
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    main()
