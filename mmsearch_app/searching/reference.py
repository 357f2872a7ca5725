"""The product that a search starts from, and whose pictures stand for it."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeAlias

from django.db.models import Model

from mmsearch_app.searching.query import Query
from mmsearch_app.sources import (
    ImageSource,
    file_of,
    load_rows,
    registry,
    stand_in_of,
    visible_rows,
)

_MAX_STEPS = 20
"""Products that are looked at before the search for a stand-in ends."""

Picture: TypeAlias = tuple[ImageSource, Model]
"""A row with an image, and the source it is a row of."""


def pictures_of(product: Model, *, user: Any = None, request: Any = None) -> list[Picture]:
    """Return the product's rows with an image that this visitor may see; one query per source."""
    found: list[Picture] = []
    for source in registry.showing(product):
        seen = visible_rows(source, product=product, user=user, request=request)
        rows = load_rows(source, seen)
        found += [(source, row) for row in rows if file_of(source, row) is not None]
    return found


def find_pictured(product: Model, *, user: Any = None, request: Any = None) -> Model | None:
    """Return the product if it has a picture, else its nearest stand-in that has one, or None.

    A stand-in may have a stand-in itself; one that leads back to an earlier product ends there.
    """
    waiting, known = deque([product]), [product]
    while waiting:
        one = waiting.popleft()
        if pictures_of(one, user=user, request=request):
            return one
        for source in registry.showing(one):
            stand_in = stand_in_of(source, one)
            if stand_in is not None and stand_in not in known and len(known) < _MAX_STEPS:
                known.append(stand_in)
                waiting.append(stand_in)
    return None


def pictures_of_reference(query: Query) -> list[Picture]:
    """Return the pictures of the query's product or of its stand-in, best first."""
    product = query.stand_in or query.like
    if product is None:
        return []
    return pictures_of(product, user=query.user, request=query.request)
