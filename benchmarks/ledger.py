"""Measure the cost of the ledger: `python -m benchmarks.ledger [--rows N] [--beside CHECKOUT]`.

Prints for SQLite, PostgreSQL and MariaDB the extra queries and time of a save, and how long
`reconcile` takes, and how much memory, to find 100 of N rows that changed without a signal, and
to compare N records of the index with the ledger. With `--beside` the code of another checkout of
this repository is measured in turn with this one.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, SAVES = 15, 100
DRIFTED = 100
PAGE = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="0: measure saves only")
    parser.add_argument("--beside", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--on", nargs="*", choices=DATABASES, default=[*DATABASES])
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.rows)
        return
    checkouts = [ROOT, *([options.beside.resolve()] if options.beside else [])]
    for title, url in databases(options.on):
        for checkout in checkouts:
            print(f"{title}, {options.rows:,} rows, {checkout.name}", flush=True)
            run(checkout, url, options.rows)


DATABASES = ("sqlite", "postgresql", "mariadb")


def databases(wanted: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and address of each database that can be started, an empty one each time."""
    from tests import mariadb, postgres

    if "sqlite" in wanted:
        yield "SQLite (file, WAL)", ""
    servers = {
        "postgresql": (
            "PostgreSQL (loopback, fsync off)",
            postgres.find_obstacle,
            postgres.cluster,
        ),
        "mariadb": ("MariaDB (loopback)", mariadb.find_obstacle, mariadb.server),
    }
    for name, (title, find_obstacle, serve) in servers.items():
        if name not in wanted:
            continue
        if obstacle := find_obstacle():
            print(f"{title} skipped: {obstacle}")
            continue
        with serve() as url:
            yield title, url


def run(checkout: Path, url: str, rows: int) -> None:
    """Measure the code of a checkout in a new process, with empty tables."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": url,
            "SHOP_DATA": folder,
            "PYTHONPATH": str(checkout),
        }
        command = [sys.executable, __file__, "--measure", f"--rows={rows}"]
        subprocess.run(command, check=True, cwd=checkout, env=environment)


def measure(rows: int) -> None:
    import django
    from django.conf import settings

    sys.path[0] = str(Path.cwd())
    django.setup()
    settings.DEBUG = False  # else Django keeps and formats every statement
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("flush", interactive=False, verbosity=0)
    measure_saves()
    if rows:
        measure_reconcile(rows)
        measure_deep()


def measure_saves() -> None:
    """Save rows that are in the ledger, in rounds with and without the signal handler."""
    from django.db import connection
    from django.db.models.signals import post_save
    from django.test.utils import CaptureQueriesContext

    from example_shop.models import Product, ProductImage
    from mmsearch_app.indexing import receivers

    product = Product.objects.create(title="red mug", sku="1", slug="1")
    images = [
        ProductImage.objects.create(product=product, original=f"{number}.png")
        for number in range(SAVES)
    ]
    uid = "mmsearch_app.example_shop.productimage"
    plain: list[Times] = []
    marked: list[Times] = []
    queries = []
    for number in range(2 * ROUNDS):
        if number % 2:
            receivers.connect()
        else:
            assert post_save.disconnect(sender=ProductImage, dispatch_uid=uid)
        if number < 2:
            with CaptureQueriesContext(connection) as captured:
                images[0].save()
            queries.append(len(captured))
        (marked if number % 2 else plain).append(save_all(images))
    print(f"  a save: extra queries: {queries[1] - queries[0]}")
    for name, place in ("wall", 0), ("CPU of this process", 1):
        report_ratio(name, [one[place] for one in plain], [one[place] for one in marked])


Times = tuple[float, float]


def save_all(images: list[Any]) -> Times:
    """Save each in one transaction; return the medians of wall and CPU time in seconds."""
    from django.db import transaction

    wall, cpu = [], []
    with transaction.atomic():
        for image in images:
            begun = time.perf_counter(), time.thread_time()
            image.save()
            wall.append(time.perf_counter() - begun[0])
            cpu.append(time.thread_time() - begun[1])
    return median(wall), median(cpu)


def report_ratio(name: str, plain: list[float], marked: list[float]) -> None:
    """Print the medians of the rounds, and the ratio of neighbouring rounds with its quartiles."""
    ratios = [one / other for one, other in zip(marked, plain, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    print(
        f"    {name}: {median(plain) * 1e6:.0f} -> {median(marked) * 1e6:.0f} µs, "
        f"{middle:.2f} times ({low:.2f} to {high:.2f} in half of {len(ratios)} rounds)"
    )


def measure_reconcile(rows: int) -> None:
    """Mark N rows as indexed, change 100 of them in three ways without a signal, find them."""
    from django.db import connection

    from example_shop.models import Product, ProductImage
    from mmsearch_app.indexing import ledger
    from mmsearch_app.indexing.reconcile import reconcile

    product = Product.objects.get()
    for start in range(0, rows, PAGE):
        ProductImage.objects.bulk_create(
            ProductImage(product=product, original=f"products/{number}.png")
            for number in range(start, min(start + PAGE, rows))
        )
    report(lambda: reconcile().changed, "new rows marked")
    as_if_indexed()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    for _ in range(3):
        report(lambda: reconcile().total, "differences, where there are none")
    pks = list(ProductImage.objects.order_by("pk").values_list("pk", flat=True)[:1000])
    ProductImage.objects.bulk_create(
        ProductImage(product=product, original="new.png") for _ in range(DRIFTED // 2)
    )
    third = DRIFTED * 3 // 10
    ProductImage.objects.filter(pk__in=pks[10 : 10 + third]).update(original="other.png")
    gone = pks[500 : 500 + DRIFTED - DRIFTED // 2 - third]
    ProductImage.objects.filter(pk__in=gone)._raw_delete("default")
    report(lambda: reconcile().total, "new, changed or deleted without a signal")
    start = time.perf_counter()
    claimed = len(ledger.claim(32))
    print(f"  a claim of {claimed}: {(time.perf_counter() - start) * 1000:.1f} ms")


def as_if_indexed() -> None:
    """Record every entry as a worker does that has indexed it."""
    from django.db import connection

    from mmsearch_app.models import Entry, State
    from mmsearch_app.sources.registry import registry
    from mmsearch_app.sources.values import signature

    source = registry.get("example_shop.productimage")
    signed = source.get_queryset().annotate(known=signature(source)).order_by("pk")
    targeted = connection.features.supports_update_conflicts_with_target
    last = 0
    while page := dict(signed.filter(pk__gt=last).values_list("pk", "known")[:PAGE]):
        known = {str(pk): text for pk, text in page.items()}
        entries = list(Entry.objects.filter(source=source.name, object_pk__in=known))
        for entry in entries:
            entry.signature, entry.content = known[entry.object_pk], "c"
            entry.state, entry.due_at = State.INDEXED, None
        Entry.objects.bulk_create(
            entries,
            batch_size=500,
            update_conflicts=True,
            update_fields=["signature", "content", "state", "due_at"],
            unique_fields=["id"] if targeted else None,
        )
        last = max(page)


def measure_deep() -> None:
    """Compare an index with the ledger: first it is right, then it lost 100 and has 100 more.

    The index lists what the ledger says, so that only the comparison is measured.
    """
    from mmsearch_app.backends import get_index
    from mmsearch_app.indexes.base import Stored
    from mmsearch_app.indexing.compare import compare_index
    from mmsearch_app.models import Entry, State

    index: Any = get_index()
    live = index.create(fingerprint="benchmark", dimension=4)
    index.promote(live.name)
    Entry.objects.filter(state=State.INDEXED).update(generation=live.name)
    present = Entry.objects.filter(present=True).order_by("pk")
    lost: set[str] = set()
    strays: list[str] = []

    def contents(*, generation: str) -> Iterator[tuple[str, str]]:
        yield from ((key, "c") for key in strays)
        columns, last = present.values_list("pk", "source", "object_pk"), 0
        while page := list(columns.filter(pk__gt=last)[:PAGE]):
            keys = [f"{source}:{pk}" for _, source, pk in page]
            yield from ((key, "c") for key in keys if key not in lost)
            last = page[-1][0]

    def stored(ids: list[str], *, generation: str) -> dict[str, Stored]:
        vector = np.zeros(4, dtype=np.float32)
        return {key: Stored(vector=vector, content="c") for key in ids if key not in lost}

    index.contents, index.stored = contents, stored
    report(lambda: sum(compare_index()), "differences of the index, where there are none")
    believed = Entry.objects.filter(state=State.INDEXED).order_by("pk")
    lost.update(entry.key for entry in believed[:DRIFTED])
    strays += [f"example_shop.productimage:stray-{number}" for number in range(DRIFTED)]
    report(lambda: sum(compare_index()), "lost or stray records of the index")


def report(find: Callable[[], int], what: str) -> None:
    """Print how long a reconciliation takes, and its peak of memory above what was used before."""
    idle, start = reset_peak(), time.perf_counter()
    found = find()
    seconds, grown = time.perf_counter() - start, (peak() - idle) / 1e6
    print(f"  reconcile: {found:,} {what}, in {seconds:.2f} s, {grown:.0f} MB", flush=True)


def reset_peak() -> int:
    """Forget the peak of resident memory; return the bytes that are resident now (Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def peak() -> int:
    return resident("VmHWM")


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [one for one in lines if one.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
