"""Which generation of the index visitors search, and workers write to."""

from __future__ import annotations

from mmsearch_app import ledger
from mmsearch_app.conf import get_embedder, get_index
from mmsearch_app.embedding import identify
from mmsearch_app.indexes.base import Generation
from mmsearch_app.models import Entry

__all__ = ["ReindexNeeded", "ensure_live", "is_live"]


class ReindexNeeded(Exception):
    """The live generation was made by another model, or there is none."""


def ensure_live() -> Generation:
    """The live generation, made on first use. Raises ReindexNeeded for another model's."""
    index, embedder = get_index(), get_embedder()
    live, fingerprint = index.live(), identify(embedder)
    if live is None:
        made = index.create(fingerprint=fingerprint, dimension=embedder.dimension)
        live = index.live()
        if live is None:
            index.promote(made.name)
            ledger.retry(Entry.objects.filter(present=True).exclude(generation=""))
            return made
        index.drop(made.name)
    if live.fingerprint != fingerprint:
        msg = (
            "The index was made by another model or preprocessing than the one configured; "
            "run mmsearch_reindex, visitors keep the old index until it is done."
        )
        raise ReindexNeeded(msg)
    return live


def is_live(name: str) -> bool:
    """Whether the alias is on the generation of that name."""
    live = get_index().live()
    return live is not None and live.name == name
