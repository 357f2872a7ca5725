"""A search for one row by each of its filters, for `mmsearch_check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from numpy.typing import NDArray

from mmsearch_app.indexes import Generation
from mmsearch_app.searching.filters import parse
from mmsearch_app.searching.retrieve import Scope, retrieve
from mmsearch_app.sources import ImageSource


def try_filters(
    source: ImageSource, row: Model, vector: NDArray[np.float32], *, generation: Generation
) -> list[str]:
    """Search the generation for the row, alone and with a value of each of its filters.

    Returns the names of the filters that were tried; others have no value at this row. Raises
    LookupError if a filter does not find the row of which its value is.
    """

    def finds(filters: Mapping[str, Any]) -> bool:
        scope = Scope(filters=parse(filters), user=AnonymousUser())
        found = retrieve(vector, generation=generation, need=1, scope=scope)
        hits = [one.show() for one in found]  # by the shop's own code, as for a visitor
        return any(hit.source == source.name and hit.image.pk == row.pk for hit in hits)

    visible = finds({})
    tried = []
    for name, values in source.get_filters(row).items():
        if not values:
            continue
        found = finds({name: values[0]})
        if visible and not found:
            msg = f"{source!r}: the filter {name!r} does not find {row!r} by its own {values[0]!r}."
            raise LookupError(msg)
        tried.append(name)
    return tried
