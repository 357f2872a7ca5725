"""Stage 2: a vector finds products in the index, and the shop's own queryset decides."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Model

from mmsearch_app.conf import get_embedder, get_index
from mmsearch_app.filters import Wish
from mmsearch_app.indexes.base import Generation, Match
from mmsearch_app.ledger import key_of
from mmsearch_app.models import Rebuild
from mmsearch_app.query import Hit, SearchUnavailable
from mmsearch_app.sources import ImageSource, product_key, registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Wanted", "hydrate", "retrieve", "searchable"]

log = logging.getLogger(__name__)
_MOST = 16_384
"""The most that one search of a Milvus server returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which products may be in the answer."""

    wishes: Sequence[Wish] = ()
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
        msg = "The search is not built yet; please come back in a while."
        raise SearchUnavailable(msg)
    return ours[-1]


def retrieve(
    vector: NDArray[np.float32],
    *,
    generation: Generation,
    need: int,
    wanted: Wanted,
) -> list[Hit]:
    """Up to `need` products that may be shown, best first.

    Asks the index for a few more than needed, and for many more when the shop's queryset
    turned candidates away.
    """
    if not all(wish.values for wish in wanted.wishes):
        return []
    conditions = [wish.condition() for wish in wanted.wishes]
    ask = need + 8
    while True:
        matches = get_index().search(
            vector,
            generation=generation.name,
            limit=ask,
            conditions=conditions,
            exclude_products=wanted.without_products,
        )
        hits = hydrate(matches, wanted)
        if len(hits) >= need or len(matches) < ask or ask >= _MOST:
            return hits[:need]
        ask = min(ask * 4, _MOST)


def hydrate(matches: Sequence[Match], wanted: Wanted) -> list[Hit]:
    """Turn matches into hits through each source's queryset; what it hides is left out.

    One query for each source (and one for each prefetched relation), whatever the number.
    """
    wishes: dict[str, list[Match]] = defaultdict(list)
    for match in matches:
        if match.source in registry and match.digest not in wanted.without_digests:
            wishes[match.source].append(match)
    rows: dict[str, tuple[ImageSource, Model]] = {}
    for name, found in wishes.items():
        source = registry.get(name)
        pks = [match.id.partition(":")[2] for match in found]
        rows |= {f"{name}:{key_of(row.pk)}": (source, row) for row in _shown(source, pks, wanted)}
    hits: dict[str, Hit] = {}
    for match in matches:
        if match.id in rows:
            key, hit = _hit(*rows[match.id], score=match.score)
            if hit is not None and key not in wanted.without_products:
                hits.setdefault(key, hit)
    return list(hits.values())


def _shown(source: ImageSource, pks: Sequence[str], wanted: Wanted) -> list[Model]:
    rows = source.fetch()
    for wish in wanted.wishes:
        rows = wish.narrow(source, rows)
    rows = rows.filter(pk__in=source.valid_keys(pks))
    return list(source.visible_to(rows, wanted.user))


def _hit(source: ImageSource, row: Model, *, score: float) -> tuple[str, Hit | None]:
    product = source.get_product(row)
    if product is None:
        return "", None
    file = source.get_file(row)
    return product_key(product), Hit(
        product=product,
        image=row,
        score=score,
        title=source.get_title(row) or str(product),
        url=_call(product, "get_absolute_url"),
        image_url=file.url if file else "",
        source=source.name,
    )


def _call(instance: Model, method: str) -> str:
    found: Callable[[], str] | None = getattr(instance, method, None)
    return str(found()) if found else ""
