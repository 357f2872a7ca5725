"""What indexing does with a source, once and without a trace, for `mmsearch_check`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connections, router, transaction
from django.utils import timezone

from mmsearch_app.indexing import documents, ledger, marks
from mmsearch_app.indexing.documents import Document
from mmsearch_app.indexing.ledger import Outcome
from mmsearch_app.indexing.reconcile import find_drifted, find_vanished
from mmsearch_app.models import Entry, Rebuild, State
from mmsearch_app.sources import ImageSource, find_pictures, from_primary, key_of, watched_by

_ROWS = 50
"""How many rows of a source are searched for one with an image."""


def try_statements(source: ImageSource) -> None:
    """Run every statement of indexing for the source, in a transaction that is rolled back.

    Raises what the database raises, or the shop's own code.
    """
    using = router.db_for_write(Entry)
    if not connections[using].features.supports_transactions:
        msg = f"The tables of DATABASES[{using!r}] know no transactions: convert them to InnoDB."
        raise RuntimeError(msg)
    with transaction.atomic(using=using):
        keys = from_primary(source.get_queryset()).order_by("pk").values_list("pk", flat=True)
        _work_off(source, keys.first())
        _compare(source)
        _follow_links(source)
        list(Rebuild.objects.filter(open=True))
        transaction.set_rollback(True, using=using)


def _work_off(source: ImageSource, pk: Any) -> None:
    """Mark a row, claim an entry, and record every outcome for it."""
    marks.mark_rows(source.name, ["mmsearch_check" if pk is None else pk])
    long_ago = timezone.now() - timedelta(days=36500)  # so that this entry is claimed, no other
    mine = Entry.objects.filter(source=source.name).order_by("-marked_at", "-pk")[:1]
    Entry.objects.filter(pk__in=[entry.pk for entry in mine]).update(
        due_at=long_ago, lease_until=None
    )
    claimed = ledger.claim(1)
    ledger.finish([Outcome(entry=entry, state=State.INDEXED) for entry in claimed])
    ledger.finish([Outcome(entry=e, state=State.EMPTY) for e in claimed], still_live=lambda: True)
    ledger.fail(claimed, "")
    ledger.release(claimed, wait=1)
    ledger.retry(Entry.objects.filter(pk__in=[entry.pk for entry in claimed]))
    ledger.counts()


def _compare(source: ImageSource) -> None:
    """Run both anti-joins as far as their first row."""
    rows, entries = find_drifted(source, given_up=True), find_vanished(source)
    list(rows.order_by("pk").values_list("pk", flat=True)[:1])
    list(entries.order_by("pk").values_list("pk", "object_pk")[:1])


def _follow_links(source: ImageSource) -> None:
    """Find the rows that a save of a product, or of what they depend on, would mark."""
    for one in watched_by(source):
        some = list(from_primary(one.model._base_manager.all()).values_list("pk", flat=True)[:1])
        list(one.rows(one.stored_keys(some)).values_list("pk", flat=True)[:1])
    products = from_primary(source.product_model._base_manager.all())
    find_pictures(source, list(products.values_list("pk", flat=True)[:1]))


def try_document(source: ImageSource) -> Document | None:
    """Return what would be embedded and written for the first row that has an image.

    None if none of the first rows has one, or the storage is unavailable. Raises RuntimeError if
    the shop's own code fails.
    """
    rows = from_primary(source.get_queryset()).order_by("pk").values_list("pk", flat=True)
    for pk in rows[:_ROWS]:
        entry = Entry(source=source.name, object_pk=key_of(pk), marked_at=timezone.now())
        prepared = documents.prepare([entry])
        if prepared.failed:
            raise RuntimeError(f"{entry}: {prepared.failed[0][1]}")
        if prepared.documents:
            return prepared.documents[0]
        if prepared.postponed:
            return None
    return None
