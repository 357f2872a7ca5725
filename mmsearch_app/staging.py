"""What of the ledger the generation being rebuilt holds.

Noted before and after each write to it: however a rebuild ends, there is no record in the new
generation that the ledger does not know of.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import router, transaction
from django.db.models import F, Q, QuerySet

from mmsearch_app.locking import change, lock
from mmsearch_app.models import Entry

__all__ = ["announce", "behind", "stage", "unstaged"]


def unstaged(generation: str) -> QuerySet[Entry]:
    """Entries whose wanted version the generation does not hold, or that it holds in vain."""
    held = Q(staged_in=generation, staged=F("wanted"))
    return Entry.objects.filter(present=True).exclude(held) | Entry.objects.filter(
        present=False, staged_in=generation
    )


def behind(generation: str) -> Q:
    """Of the unstaged entries those that it holds in an older version."""
    return Q(present=True, staged_in=generation, staged__isnull=False)


def announce(entries: Sequence[Entry], *, generation: str) -> None:
    """Note that it may hold the entries from now on, in no version that counts yet."""
    rows = Entry.objects.filter(pk__in=[entry.pk for entry in entries])
    change(rows, staged=None, staged_in=generation)


def stage(held: Sequence[Entry], without: Sequence[Entry], *, generation: str) -> None:
    """Note which version it holds of each entry now, or knows to be `without` a picture.

    An entry that a transaction of the shop holds is waited for, holding nothing: unstaged, it
    would be filled again and again as long as the transaction lasts.
    """
    for entry in (*held, *without):
        entry.staged, entry.staged_in = entry.wanted, generation
    for entry in without:
        entry.staged_in = generation if entry.present else ""
    entries = {entry.pk: entry for entry in (*held, *without)}
    with transaction.atomic(using=router.db_for_write(Entry)):
        free = lock(Entry.objects.filter(pk__in=entries)).values_list("pk", flat=True)
        known = [entries.pop(pk) for pk in list(free)]
        Entry.objects.bulk_update(known, ["staged", "staged_in"])
    for pk, entry in entries.items():
        values = {"staged": entry.staged, "staged_in": entry.staged_in}
        Entry.objects.filter(pk=pk).update(**values)
