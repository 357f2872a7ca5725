"""Measure the cost of the ledger: `python -m benchmarks.ledger [--rows N]`.

Prints for SQLite and PostgreSQL the extra queries and time of a save, and how long `reconcile`
takes to find 100 of N rows that changed without a signal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
SAVES = 400
DRIFTED = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.rows)
        return
    from tests.postgres import cluster, find_binaries

    run("SQLite (file, WAL)", "", options.rows)
    if find_binaries() is None:
        print("PostgreSQL skipped: it is not installed")
        return
    with cluster() as url:
        run("PostgreSQL (loopback, fsync off)", url, options.rows)


def run(title: str, url: str, rows: int) -> None:
    """Measure in a new process, with a new database."""
    print(f"{title}, {rows:,} rows", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": url,
            "SHOP_DATA": folder,
        }
        command = [sys.executable, "-m", "benchmarks.ledger", "--measure", f"--rows={rows}"]
        subprocess.run(command, check=True, cwd=ROOT, env=environment)


def measure(rows: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    measure_saves()
    measure_reconcile(rows)


def measure_saves() -> None:
    """Save rows that are in the ledger, alternately with and without the signal handler."""
    from django.db import connection, transaction
    from django.db.models.signals import post_save
    from django.test.utils import CaptureQueriesContext

    from example_shop.models import Product, ProductImage
    from mmsearch_app.indexing import receivers

    product = Product.objects.create(title="red mug", sku="1", slug="1")
    images = [
        ProductImage.objects.create(product=product, original=f"{number}.png")
        for number in range(SAVES)
    ]
    times: dict[bool, list[float]] = {True: [], False: []}
    queries: dict[bool, int] = {}
    for number, image in enumerate(images):
        connected = number % 2 == 0
        uid = "mmsearch_app.example_shop.productimage"
        if connected:
            receivers.connect()
        else:
            assert post_save.disconnect(sender=ProductImage, dispatch_uid=uid)
        with transaction.atomic():
            start = time.perf_counter()
            image.save()
            times[connected].append(time.perf_counter() - start)
        with transaction.atomic(), CaptureQueriesContext(connection) as captured:
            image.save()
        queries[connected] = len(captured)
    receivers.connect()
    plain, marked = median(times[False]) * 1e6, median(times[True]) * 1e6
    print(
        f"  a save: extra queries: {queries[True] - queries[False]}, "
        f"{plain:.0f} -> {marked:.0f} µs median in a transaction ({marked / plain:.1f} times)"
    )


def measure_reconcile(rows: int) -> None:
    """Mark N rows as indexed, change 100 of them in three ways without a signal, find them."""
    from django.db import connection

    from example_shop.models import Product, ProductImage
    from mmsearch_app.indexing import ledger
    from mmsearch_app.indexing.reconcile import reconcile
    from mmsearch_app.models import Entry, State
    from mmsearch_app.sources.registry import registry
    from mmsearch_app.sources.values import signature

    product = Product.objects.get()
    ProductImage.objects.bulk_create(
        (ProductImage(product=product, original=f"products/{n}.png") for n in range(rows)),
        batch_size=5000,
    )
    start = time.perf_counter()
    marked = reconcile().changed
    print(f"  reconcile: {marked:,} new rows marked in {time.perf_counter() - start:.2f} s")
    source = registry.get("example_shop.productimage")
    signed = source.get_queryset().annotate(known=signature(source)).values_list("pk", "known")
    known = {str(pk): text for pk, text in signed}
    entries = list(Entry.objects.filter(source=source.name))
    for entry in entries:
        entry.signature, entry.state, entry.due_at = known[entry.object_pk], State.INDEXED, None
    Entry.objects.bulk_update(entries, ["signature", "state", "due_at"], batch_size=500)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    report(lambda: reconcile().total, "without a difference")
    pks = list(ProductImage.objects.order_by("pk").values_list("pk", flat=True))
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


def report(find: Callable[[], int], what: str) -> None:
    start = time.perf_counter()
    found = find()
    print(f"  reconcile: {found} found, {what}, in {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
