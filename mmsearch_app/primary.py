"""Reading where the shop writes: a replica may lag behind the save that is to be indexed."""

from __future__ import annotations

from typing import TypeVar

from django.db import router
from django.db.models import Model, QuerySet

__all__ = ["from_primary"]

_M = TypeVar("_M", bound=Model)


def from_primary(rows: QuerySet[_M]) -> QuerySet[_M]:
    """The rows by the database that takes writes, unless the queryset names one itself."""
    named = rows._db  # type: ignore[attr-defined]
    return rows if named else rows.using(router.db_for_write(rows.model))
