"""Checks that every index makes before it writes or searches, and names of generations."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.indexes.facets import make_facets

if TYPE_CHECKING:
    from mmsearch_app.indexes.base import Record
    from mmsearch_app.indexes.facets import Facets

MAX_BYTES = {"id": 512, "product": 512, "source": 255, "digest": 128}
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
