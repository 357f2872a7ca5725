"""Helpers for the shop, its ledger and its index."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection, connections

from example_shop.models import ProductImage
from mmsearch_app import search
from mmsearch_app.backends import get_index
from mmsearch_app.indexing import ledger, receivers
from mmsearch_app.models import Entry, State
from tests.shop import entry, work


def vector_of(row: Any) -> Any:
    live = get_index().live()
    assert live is not None
    key = entry(row).key
    return get_index().stored([key], generation=live.name)[key].vector


ANY = "zzz"
"""A word in no title, so that all products are equally distant."""


def titles(found: Any) -> list[str]:
    return [hit.title for hit in found.hits]


def work_again() -> None:
    """Fill an index that a change of settings emptied."""
    ledger.retry(Entry.objects.all())
    work()


def due() -> set[str]:
    """Keys of the entries that are due, now or later."""
    return {found.key for found in Entry.objects.filter(due_at__isnull=False)}


def settle() -> None:
    """Mark every entry as done, without any work."""
    Entry.objects.update(due_at=None, state=State.INDEXED)


def delete_raw(*keys: Any) -> None:
    table = ProductImage._meta.db_table
    with connection.cursor() as cursor:
        statement = f"DELETE FROM {table} WHERE id = %s"  # noqa: S608 - our own table's name
        cursor.executemany(statement, [(key,) for key in keys])


def in_threads(*jobs: Callable[[], Any]) -> list[Any]:
    """Run the jobs concurrently, each with its own connection; returns their results."""

    def run(job: Callable[[], Any]) -> Any:
        try:
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def found(**filters: Any) -> set[str]:
    """First words of the titles that a search with these filters finds."""
    hits = search("sea mug shirt", filters=filters).hits
    return {hit.title.split()[0] for hit in hits}


class deaf:
    """Disconnect the search's signal handlers from a model during the block."""

    def __init__(self, model: Any) -> None:
        self.uid = f"mmsearch_app.{model._meta.label_lower}"
        self.model = model

    def __enter__(self) -> None:
        for signal in (receivers.post_save, receivers.post_delete):
            assert signal.disconnect(sender=self.model, dispatch_uid=self.uid)

    def __exit__(self, *_: Any) -> None:
        receivers.connect()
