"""What an index checks and stores of a record, and the names of generations.

Engines disagree on values: Milvus Lite treats true as 1, a server treats 1 and 1.0 as different,
and both have their own rules for string literals. So equality is decided on the JSON text of a
value (ASCII, strict about types, 1 equals 1.0) and order on its numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypedDict
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.indexes.base import Condition, Record, Scalar

MAX_FILTER_BYTES = 65_536
"""Milvus' limit for one JSON value."""
MAX_EXACT = 2**53
"""Engines that compare doubles cannot distinguish larger whole numbers."""
SEVERAL = (list, tuple, set, frozenset)


class Facets(TypedDict):
    """The stored form of `Record.filters`. `least` and `most` contain numeric filters only."""

    texts: dict[str, list[str]]
    least: dict[str, float]
    most: dict[str, float]


def text_of(value: Scalar) -> str:
    """Return the JSON text of a value. Raises ValueError if it has none."""
    if isinstance(value, str | bool):
        return json.dumps(value)
    number = _number(value)
    whole = isinstance(value, float) and number.is_integer() and abs(number) <= MAX_EXACT
    return json.dumps(int(number) if whole else value)


def name_of(key: str) -> str:
    """Return the name under which a filter is stored: percent-encoded.

    Milvus 2.3 cuts a JSON path at every `][`, quoted or not. Raises ValueError for "".
    """
    if not key:
        msg = "A filter needs a name."
        raise ValueError(msg)
    return quote(key, safe="", errors="surrogatepass")


def bound(condition: Condition) -> float:
    """Return the number of a comparison. Raises ValueError if it has no number or several."""
    values = condition.values
    if len(values) != 1 or isinstance(values[0], str | bool):
        msg = f"{condition.name}__{condition.operator} takes exactly one number, not {values!r}."
        raise ValueError(msg)
    return _number(values[0])


def make_facets(filters: Mapping[str, Scalar | Sequence[Scalar]]) -> Facets:
    """Return the stored form. Raises ValueError for a value that cannot be filtered on."""
    facets = Facets(texts={}, least={}, most={})
    for key, given in filters.items():
        name = name_of(key)
        values: list[Any] = [*given] if isinstance(given, SEVERAL) else [given]
        facets["texts"][name] = sorted({text_of(value) for value in values})
        numbers = [_number(v) for v in values if not isinstance(v, str | bool)]
        if numbers:
            facets["least"][name] = min(numbers)
            facets["most"][name] = max(numbers)
    if (size := len(json.dumps(facets))) > MAX_FILTER_BYTES:
        msg = f"The filters of a record take {size} bytes; the limit is {MAX_FILTER_BYTES}."
        raise ValueError(msg)
    return facets


def matches(facets: Facets, condition: Condition) -> bool:
    """Return whether any of the record's values fulfils the condition."""
    name = name_of(condition.name)
    match condition.operator:
        case "in":
            wanted = {text_of(value) for value in condition.values}
            return not wanted.isdisjoint(facets["texts"].get(name, ()))
        case "gt":
            return facets["most"].get(name, -math.inf) > bound(condition)
        case "gte":
            return facets["most"].get(name, -math.inf) >= bound(condition)
        case "lt":
            return facets["least"].get(name, math.inf) < bound(condition)
        case "lte":
            return facets["least"].get(name, math.inf) <= bound(condition)


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(number := float(value)):
                return number
    msg = f"{value!r} cannot be filtered on; give a string, a finite number or a boolean."
    raise ValueError(msg)


MAX_BYTES = {"id": 512, "product": 512, "source": 255, "digest": 128, "content": 64}
"""Longest value of each text field of a record, in bytes of UTF-8."""

TOLERANCE = 1e-2
"""Allowed deviation of a vector's length from 1; half precision loses about 1e-3."""


def check_record(record: Record, *, dimension: int) -> Facets:
    """Return the record's filter values. Raises ValueError if the record cannot be stored."""
    for name, most in MAX_BYTES.items():
        size = len(getattr(record, name).encode())
        if size > most or (name == "id" and not size):
            msg = f"{name} of record {record.id!r} has {size} bytes; it must have 1 to {most}."
            raise ValueError(msg)
    length = _length(record.vector, dimension, what=f"the vector of record {record.id!r}")
    if abs(length - 1) > TOLERANCE:
        msg = f"The vector of record {record.id!r} has length {length:.4g} instead of 1."
        raise ValueError(msg)
    return make_facets(record.filters)


def check_query(vector: NDArray[np.float32], *, dimension: int, limit: int) -> NDArray[np.float32]:
    """Return the vector, scaled to length 1. Raises ValueError if it is zero or not finite."""
    if limit < 1:
        msg = f"limit must be at least 1, not {limit}."
        raise ValueError(msg)
    length = _length(vector, dimension, what="the vector of the query")
    if length == 0:
        msg = "The vector of the query has length 0: it has no direction."
        raise ValueError(msg)
    return np.asarray(vector / length, dtype=np.float32)


def _length(vector: NDArray[np.float32], dimension: int, *, what: str) -> float:
    if np.shape(vector) != (dimension,):
        msg = f"{what} has shape {np.shape(vector)}; this generation needs ({dimension},)."
        raise ValueError(msg)
    length = float(np.linalg.norm(np.asarray(vector, dtype=np.float64)))
    if not np.isfinite(length):
        msg = f"{what} is not finite."
        raise ValueError(msg)
    return length


def name_generation(collection: str, fingerprint: str) -> str:
    """Return a new name, `<collection>_<8 hex digits>_<UTC to the microsecond>`."""
    digest = hashlib.sha256(fingerprint.encode()).hexdigest()[:8]
    return f"{collection}_{digest}_{datetime.now(UTC):%Y%m%d%H%M%S%f}"


def age_of(name: str) -> str:
    """Return the sort key by which generations are ordered, oldest first."""
    return name.rpartition("_")[2]


def is_generation(name: str, *, collection: str) -> bool:
    """Return whether `name_generation` made this name for `collection`."""
    return re.fullmatch(re.escape(collection) + r"_[0-9a-f]{8}_\d{20}", name) is not None
