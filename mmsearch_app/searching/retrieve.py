"""Stage 2: a vector finds products in the index, and the shop's own queryset decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db.models import Model
from django.utils.translation import gettext

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes import Generation, Match
from mmsearch_app.models import Rebuild
from mmsearch_app.searching.filters import FilterValue
from mmsearch_app.searching.query import Hit, SearchUnavailable
from mmsearch_app.sources import ImageSource, entry_key, registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Wanted", "hydrate", "retrieve", "searchable"]

log = logging.getLogger(__name__)
_MOST = 16_384
"""The most that one search of a Milvus server returns."""
_SPARE = 8
"""Products asked for beyond those needed."""
_CHANCES = 2
"""How often products that were turned away may come by another picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which products may be in the answer."""

    wishes: Sequence[FilterValue] = ()
    user: Any = None
    without_products: Sequence[str] = ()
    without_digests: frozenset[str] = frozenset()
    """Pictures that are the reference picture itself, under another product."""


def searchable() -> Generation:
    """The generation to search: the live one, or during a change of model the newest of ours.

    One that is only being filled does not count: it would hide products without a word.
    Raises SearchUnavailable when none was made by the configured embedder.
    """
    index, fingerprint = get_index(), get_embedder().fingerprint
    live = index.live()
    if live is not None and live.fingerprint == fingerprint:
        return live
    filling = Rebuild.objects.filter(open=True).values_list("generation", flat=True)
    ours = [made for made in index.generations() if made.fingerprint == fingerprint]
    ours = [made for made in ours if made.name not in set(filling)]
    if live is None or not ours:
        log.warning("No index was made by the configured embedder yet: run mmsearch_reindex")
        msg = gettext("The search is not built yet; please come back in a while.")
        raise SearchUnavailable(msg)
    return ours[-1]


def retrieve(
    vector: NDArray[np.float32],
    *,
    generation: Generation,
    need: int,
    wanted: Wanted,
) -> list[Hit]:
    """Up to `need` products that may be shown, best first, each by its best picture that may.

    Asks the index for a few more than needed. When the shop's queryset turned pictures away,
    it asks again without them: for as many, since other pictures of their products may have
    a place in the answer, and for many more while the answer is not full.
    """
    if not all(wish.values for wish in wanted.wishes):
        return []
    conditions = [wish.condition() for wish in wanted.wishes]
    find = partial(get_index().search, vector, generation=generation.name, conditions=conditions)
    found, ask, chances = _Found(wanted=wanted), need + _SPARE, _CHANCES
    while True:
        matches = find(limit=ask, exclude_products=[*found.closed], exclude_ids=found.away)
        turned_away = found.take(matches)
        if len(found.hits) < need and len(matches) == ask < _MOST:
            ask = min(ask * 4, _MOST)
        elif turned_away and chances:
            ask, chances = turned_away, chances - 1
        else:
            return sorted(found.hits.values(), key=lambda hit: -hit.score)[:need]


@dataclass(slots=True, kw_only=True)
class _Found:
    """What the rounds of one retrieval have found so far."""

    wanted: Wanted
    hits: dict[str, Hit] = field(default_factory=dict)
    """By product."""
    closed: dict[str, None] = field(default_factory=dict)
    """Products that need not be found any more."""
    away: list[str] = field(default_factory=list)
    """Pictures that may not be shown, or show another product by now."""

    def __post_init__(self) -> None:
        self.closed = dict.fromkeys(self.wanted.without_products)

    def take(self, matches: Sequence[Match]) -> int:
        """Sort matches, best first; how many of their products may come by another picture.

        Not so a product whose best picture is that of the reference: it is a near duplicate,
        whatever else it shows.
        """
        before = len(self.away)
        shown = _show(matches, self.wanted)
        for match in matches:
            key, hit = shown.get(match.id, ("", None))
            if hit is not None:
                self.hits.setdefault(key, hit)
                self.closed[key] = None
            if match.digest in self.wanted.without_digests:
                self.closed[match.product] = None
            elif key != match.product:
                self.away.append(match.id)
        return len(self.away) - before


def hydrate(matches: Sequence[Match], wanted: Wanted) -> list[Hit]:
    """Turn matches into hits, one a product, through each source's queryset.

    What it hides is left out. One query for each source (and one for each prefetched
    relation), whatever the number.
    """
    hits: dict[str, Hit] = {}
    for key, hit in _show(matches, wanted).values():
        hits.setdefault(key, hit)
    return list(hits.values())


def _show(matches: Sequence[Match], wanted: Wanted) -> dict[str, tuple[str, Hit]]:
    """The matches that may be shown, by id and in their order: product key and hit."""
    kept = [match for match in matches if match.digest not in wanted.without_digests]
    pairs = ((match.source, match.id.partition(":")[2]) for match in kept)
    rows: dict[str, tuple[ImageSource, Model]] = {}
    for source, pks in registry.group(pairs):
        shown = _shown(source, pks, wanted)
        rows |= {entry_key(source.name, row.pk): (source, row) for row in shown}
    found: dict[str, tuple[str, Hit]] = {}
    for match in matches:
        if match.id in rows:
            key, hit = _hit(*rows[match.id], score=match.score)
            if hit is not None and key not in wanted.without_products:
                found[match.id] = key, hit
    return found


def _shown(source: ImageSource, pks: Sequence[str], wanted: Wanted) -> list[Model]:
    rows = source.fetch()
    for wish in wanted.wishes:
        rows = wish.narrow(source, rows)
    rows = rows.filter(pk__in=source.valid_keys(pks))
    return list(source.visible_to(rows, wanted.user))


def _hit(source: ImageSource, row: Model, *, score: float) -> tuple[str, Hit | None]:
    """Its product's key and the hit; ("", None) for a row that lost its product or picture."""
    product, file = source.get_product(row), source.get_file(row)
    if product is None or file is None:
        return "", None
    return source.product_key(product), Hit(
        product=product,
        image=row,
        score=score,
        title=source.get_title(row) or str(product),
        url=_call(product, "get_absolute_url"),
        image_url=file.url,
        source=source.name,
    )


def _call(instance: Model, method: str) -> str:
    found: Callable[[], str] | None = getattr(instance, method, None)
    return str(found()) if found else ""
