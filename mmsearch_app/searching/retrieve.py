"""Find products near a vector: the index proposes, the shop's own queryset decides."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, TypeAlias

import numpy as np
from django.db.models import Model, QuerySet
from django.utils.translation import gettext
from numpy.typing import NDArray

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes import Generation, Match
from mmsearch_app.models import Rebuild
from mmsearch_app.searching.filters import FilterValue, narrow
from mmsearch_app.searching.index_time import asking_index
from mmsearch_app.searching.query import Hit, SearchUnavailable
from mmsearch_app.sources import (
    ImageSource,
    entry_key,
    file_of,
    image_srcset_of,
    image_url_of,
    load_rows,
    popular_rows,
    product_of,
    registry,
    title_of,
    url_of,
    visible_rows,
)

log = logging.getLogger(__name__)
_MAX_LIMIT = 16_384
"""The most products that one search of a Milvus server returns."""
_SPARE = 4
"""Products requested beyond those needed."""
_ROWS_PER_PRODUCT = 8
"""Rows read of popular products, for each product needed."""
_EXTRA_ROUNDS = 2
"""Rounds in which products whose image was rejected may be found by another image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which products an answer may contain."""

    filters: Sequence[FilterValue] = ()
    user: Any = None
    request: Any = None
    exclude_products: Sequence[str] = ()
    exclude_digests: frozenset[str] = frozenset()
    """Images of the reference product: they are not shown under another product either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A product that may be shown, by its best image. Nothing that shows it was read yet."""

    source: ImageSource
    row: Model
    product: Model
    key: str
    """The product's key in the index."""
    score: float
    id: str
    """The image's id in the index."""

    def show(self) -> Hit:
        """Return the hit, with what the shop's code says of the product."""
        return Hit(
            product=self.product,
            image=self.row,
            score=self.score,
            title=title_of(self.source, self.row, self.product),
            url=url_of(self.source, self.product),
            image_url=image_url_of(self.source, self.row),
            image_srcset=image_srcset_of(self.source, self.row),
            source=self.source.name,
            id=self.id,
        )


_Candidates: TypeAlias = dict[str, Candidate]


def searchable(*, recently: bool = False) -> Generation:
    """Return the generation to search; with `recently`, as it was known within `Index.live_lag`.

    That is the live one or, if another embedder made it, the newest of the older ones that the
    configured embedder made. One that is still being filled does not count, nor does a newer one,
    which may just have been created for a rebuild: products would be missing without notice.
    Raises SearchUnavailable if there is none.
    """
    index, fingerprint = get_index(), get_embedder().fingerprint
    if recently and hasattr(index, "recently_live"):
        with asking_index():
            known: Generation | None = index.recently_live()
        if known is not None and known.fingerprint == fingerprint:
            return known
    with asking_index():
        live = index.live()
    if live is not None and live.fingerprint == fingerprint:
        return live
    filling = set(Rebuild.objects.filter(open=True).values_list("generation", flat=True))
    with asking_index():
        generations = index.generations()
    older = takewhile(lambda generation: generation != live, generations)
    matching = [
        generation
        for generation in older
        if generation.fingerprint == fingerprint and generation.name not in filling
    ]
    if live is None or not matching:
        log.warning("The configured embedder has not built an index yet: run mmsearch_reindex")
        msg = gettext("The search is still being set up; please try again later.")
        raise SearchUnavailable(msg)
    return matching[-1]


def retrieve(
    vector: NDArray[np.float32], *, generation: Generation, need: int, scope: Scope
) -> list[Candidate]:
    """Return up to `need` products, best first, each by its best image that may be shown.

    Asks the index for a few products more than needed. If the shop's queryset rejects images,
    asks again without them: for as many products as images were rejected, since another image
    of the same product may rank high enough, or for four times as many products while there are
    too few hits.
    """
    if any(wanted.impossible for wanted in scope.filters):
        return []
    conditions = [found for wanted in scope.filters for found in wanted.conditions()]
    find = partial(get_index().search, vector, generation=generation.name, conditions=conditions)
    found = _Found(scope=scope, settled=set(scope.exclude_products))
    limit, rounds = need + _SPARE, _EXTRA_ROUNDS
    while True:
        with asking_index():
            matches = find(
                limit=limit, exclude_products=[*found.settled], exclude_ids=found.rejected
            )
        rejected = found.add(matches)
        if len(found.products) < need and len(matches) == limit < _MAX_LIMIT:
            limit = min(limit * 4, _MAX_LIMIT)
        elif rejected and rounds:
            limit, rounds = rejected, rounds - 1
        else:
            return sorted(found.products.values(), key=lambda one: -one.score)[:need]


@dataclass(slots=True, kw_only=True)
class _Found:
    """What one retrieval has found so far."""

    scope: Scope
    products: _Candidates = field(default_factory=dict)
    """By product key."""
    settled: set[str]
    """Keys of products that later rounds need not find."""
    rejected: list[str] = field(default_factory=list)
    """Ids of images that may not be shown, or that show another product by now."""

    def add(self, matches: Sequence[Match]) -> int:
        """Add matches, best first; return how many of their images were rejected.

        A product that matched by an image of the reference is a near duplicate: it is settled
        rather than tried again with another image.
        """
        rejected = []
        duplicates = self.scope.exclude_digests
        scores = {one.id: one.score for one in matches if one.digest not in duplicates}
        visible = _visible(scores, self.scope)
        for match in matches:
            one = visible.get(match.id)
            if one is not None:
                self.products.setdefault(one.key, one)
                self.settled.add(one.key)
            if match.digest in duplicates:
                self.settled.add(match.product)
            elif one is None or one.key != match.product:
                rejected.append(match.id)
        self.rejected += rejected
        return len(rejected)


def hydrate(scores: Mapping[str, float], scope: Scope) -> list[Hit]:
    """Turn the scores of images into hits, one per product, without those that may not be shown.

    `scores` are by id, best first. Runs one query per source, and one per prefetched relation,
    whatever the number of images.
    """
    found: _Candidates = {}
    for one in _visible(scores, scope).values():
        found.setdefault(one.key, one)
    return [one.show() for one in found.values()]


def find_popular(scope: Scope, *, need: int) -> list[Hit]:
    """Return up to `need` products that the sources call popular, best first."""
    found: _Candidates = {}
    names = [wanted.name for wanted in scope.filters]
    for source in registry:
        seen = visible_rows(source, user=scope.user, request=scope.request, filters=names)
        rows = popular_rows(source, seen)[: need * _ROWS_PER_PRODUCT]
        for row in narrow(load_rows(source, rows), source, scope.filters):
            one = _candidate(source, row, entry_key(source.name, row.pk), score=0.0)
            if one is not None and one.key not in scope.exclude_products:
                found.setdefault(one.key, one)
    return [one.show() for one in list(found.values())[:need]]


def _visible(scores: Mapping[str, float], scope: Scope) -> _Candidates:
    """Return what may be shown of the images with these ids, by id, in their order."""
    named = [(source, pk) for source, _, pk in (id.partition(":") for id in scores)]
    rows: dict[str, tuple[ImageSource, Model]] = {}
    for source, pks in registry.group(named):
        for row in _rows(source, pks, scope):
            rows[entry_key(source.name, row.pk)] = source, row
    visible = {}
    for id, score in scores.items():
        if id not in rows:
            continue
        one = _candidate(*rows[id], id, score=score)
        if one is not None and one.key not in scope.exclude_products:
            visible[id] = one
    return visible


def _rows(source: ImageSource, pks: Sequence[str], scope: Scope) -> list[Model]:
    def of_matches(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(pk__in=source.valid_keys(pks))

    names = [wanted.name for wanted in scope.filters]
    visitor: dict[str, Any] = {"user": scope.user, "request": scope.request}
    seen = visible_rows(source, **visitor, narrow=of_matches, filters=names)
    if not seen.query.distinct_fields:
        seen = seen.order_by()  # their order is that of the index
    return narrow(load_rows(source, seen), source, scope.filters)


def _candidate(source: ImageSource, row: Model, id: str, *, score: float) -> Candidate | None:
    """Return the product that the row shows, or None if it has no product or image now."""
    product = product_of(source, row)
    if product is None or file_of(source, row) is None:
        return None
    key = source.product_key(product)
    return Candidate(source=source, row=row, product=product, key=key, score=score, id=id)
