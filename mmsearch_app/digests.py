"""The bytes of pictures as the ledger knows them, without opening one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmsearch_app.ledger import key_of
from mmsearch_app.models import Entry
from mmsearch_app.registry import registry

if TYPE_CHECKING:
    from mmsearch_app.query import Hit

__all__ = ["digests_by_row", "digests_of", "digests_of_hits"]


def digests_of(product: Any) -> frozenset[str]:
    """SHA-256 of the product's own pictures, which other products may share."""
    found: set[str] = set()
    for source, rows in registry.showing(product):
        keys = [key_of(pk) for pk in rows.values_list("pk", flat=True)]
        entries = Entry.objects.filter(source=source.name, object_pk__in=keys)
        found.update(entries.exclude(digest="").values_list("digest", flat=True))
    return frozenset(found)


def digests_by_row(product: Any) -> list[tuple[str, str, str]]:
    """Source, key and SHA-256 ("" where not known) of the product's own pictures, in order."""
    found: list[tuple[str, str, str]] = []
    for source, rows in registry.showing(product):
        keys = [key_of(pk) for pk in rows.values_list("pk", flat=True)]
        entries = Entry.objects.filter(source=source.name, object_pk__in=keys)
        known = dict(entries.values_list("object_pk", "digest"))
        found += [(source.name, key, known.get(key, "")) for key in keys]
    return found


def digests_of_hits(hits: Sequence[Hit]) -> list[str]:
    """SHA-256 of each hit's picture, "" where it is not known; one query a source."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for hit in hits:
        wanted[hit.source].append(key_of(hit.image.pk))
    known: dict[tuple[str, str], str] = {}
    for source, keys in wanted.items():
        entries = Entry.objects.filter(source=source, object_pk__in=keys)
        for key, digest in entries.values_list("object_pk", "digest"):
            known[source, key] = digest
    return [known.get((hit.source, key_of(hit.image.pk)), "") for hit in hits]
