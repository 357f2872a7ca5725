"""Changing many entries without getting in the way of the shop's own transactions.

A shop marks entries in the order of its saves, inside its own transactions. Whoever works on
many entries therefore never waits for one while holding others: the two could deadlock, and the
database might pick the shop's save as the victim. SQLite locks the whole database instead.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, router, transaction
from django.db.models import QuerySet

from mmsearch_app.models import Entry

__all__ = ["change", "lock"]

_CHUNK = 500


def lock(rows: QuerySet[Entry]) -> QuerySet[Entry]:
    """Those of the rows that nobody holds, locked until the transaction ends."""
    features = connections[router.db_for_write(Entry)].features
    return rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)


def change(rows: QuerySet[Entry], **values: Any) -> int:
    """`rows.update(**values)`, but those that a transaction holds come last, one by one."""
    using, count = router.db_for_write(Entry), 0
    pks = list(rows.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(pks), _CHUNK):
        chunk = pks[start : start + _CHUNK]
        with transaction.atomic(using=using):
            free = set(lock(rows.filter(pk__in=chunk)).values_list("pk", flat=True))
            count += rows.filter(pk__in=free).update(**values)
        count += sum(rows.filter(pk=pk).update(**values) for pk in chunk if pk not in free)
    return count
