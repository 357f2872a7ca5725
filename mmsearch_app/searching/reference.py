"""The product that a search starts from, and whose pictures stand for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from django.db.models import Model
from django.utils.functional import cached_property

from mmsearch_app.models import Entry, State
from mmsearch_app.searching.query import Query
from mmsearch_app.sources import (
    ImageSource,
    file_of,
    is_kind_of,
    key_of,
    load_rows,
    product_of,
    registry,
    stand_in_of,
    visible_rows,
)

_MAX_STEPS = 20
"""Products that are looked at before the search for a stand-in ends."""

Picture: TypeAlias = tuple[ImageSource, Model]
"""A row with an image, and the source it is a row of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger knows of the file of a row."""

    source: str
    key: str
    """The row's primary key, as the ledger writes it."""
    digest: str
    """SHA-256 of the file's bytes, or ""."""
    current: bool
    """Whether the index is up to date, so that `digest` is that of the file as it is now."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The pictures of a product that one visitor may see, looked up once for a search."""

    product: Model
    user: Any
    request: Any
    rows: tuple[Picture, ...]
    """Best first."""

    @cached_property
    def known(self) -> list[Known]:
        """What the ledger knows of each picture; one query per source, at the first use."""
        return known_files(self.rows)

    def belong_to(self, query: Query, product: Model) -> bool:
        """Return whether they are those of the product, as the query's visitor may see it."""
        same_visitor = self.user is query.user and self.request is query.request
        return self.product is product and same_visitor


def pictures_of_key(
    model: type[Model], pk: Any, *, user: Any = None, request: Any = None
) -> Pictures | None:
    """Return the product with that primary key and its own pictures, or None if it has none.

    The product comes with the rows of its pictures, unless the source's `get_product` says
    otherwise: then it takes a query of its own.
    """
    rows: list[Picture] = []
    for source in registry:
        if is_kind_of(model, source.product_model):
            rows += _rows_showing(source, pk, user=user, request=request)
    if not rows:
        return None
    shown = (product_of(source, row) for source, row in rows)
    own = next((one for one in shown if isinstance(one, model) and one.pk == pk), None)
    own = own or model._base_manager.filter(pk=pk).first()
    if own is None:
        return None
    return Pictures(product=own, user=user, request=request, rows=tuple(rows))


def pictures_for(
    product: Model, *, user: Any = None, request: Any = None, bare: bool = False
) -> Pictures | None:
    """Return the pictures of the product, else those of its nearest stand-in, or None.

    Of a `bare` product it is known that it has none. A stand-in may have a stand-in itself; one
    that leads back to an earlier product ends there.
    """
    waiting, known = deque([product]), [product]
    while waiting:
        one = waiting.popleft()
        if not (bare and one is product):
            found = _look_for(one, user=user, request=request)
            if found.rows:
                return found
        for source in registry.showing(one):
            stand_in = stand_in_of(source, one)
            if stand_in is not None and stand_in not in known and len(known) < _MAX_STEPS:
                known.append(stand_in)
                waiting.append(stand_in)
    return None


def find_pictured(product: Model, *, user: Any = None, request: Any = None) -> Model | None:
    """Return the product if it has a picture, else its nearest stand-in that has one, or None."""
    found = pictures_for(product, user=user, request=request)
    return None if found is None else found.product


def pictures_of_reference(query: Query) -> Sequence[Picture]:
    """Return the pictures of the query's product or of its stand-in, best first."""
    product = query.stand_in or query.like
    if product is None:
        return ()
    return _of_reference(query, product).rows


def known_of_reference(query: Query) -> Sequence[Known]:
    """Return what the ledger knows of the files of `pictures_of_reference`, in the same order."""
    product = query.stand_in or query.like
    if product is None:
        return ()
    return _of_reference(query, product).known


def _of_reference(query: Query, product: Model) -> Pictures:
    if query.pictures is not None and query.pictures.belong_to(query, product):
        return query.pictures
    return _look_for(product, user=query.user, request=query.request)


def _look_for(product: Model, *, user: Any, request: Any) -> Pictures:
    """Find the product's rows with an image that this visitor may see; one query per source."""
    found: list[Picture] = []
    for source in registry.showing(product):
        pk = source.product_pk(product)
        found += _rows_showing(source, pk, user=user, request=request)
    return Pictures(product=product, user=user, request=request, rows=tuple(found))


def _rows_showing(source: ImageSource, pk: Any, *, user: Any, request: Any) -> list[Picture]:
    narrow = partial(source.showing_product, pk)
    rows = load_rows(source, visible_rows(source, user=user, request=request, narrow=narrow))
    return [(source, row) for row in rows if file_of(source, row) is not None]


def known_files(pictures: Sequence[Picture]) -> list[Known]:
    """Return what the ledger knows of the rows' files, in their order; one query per source."""
    named = [(source.name, key_of(row.pk)) for source, row in pictures]
    keys: dict[str, list[str]] = {}
    for source, key in named:
        keys.setdefault(source, []).append(key)
    found = {source: _entries(source, own) for source, own in keys.items()}
    missing = ("", False)
    return [
        Known(source=source, key=key, digest=digest, current=current)
        for source, key in named
        for digest, current in [found[source].get(key, missing)]
    ]


def _entries(source: str, keys: Iterable[str]) -> dict[str, tuple[str, bool]]:
    entries = Entry.objects.filter(source=source, object_pk__in=keys)
    rows = entries.values_list("object_pk", "digest", "state")
    return {key: (digest, state == State.INDEXED) for key, digest, state in rows}
