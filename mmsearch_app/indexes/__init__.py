"""Indexes: where vectors are stored and searched, behind the protocol in `base`."""

from mmsearch_app.indexes.base import (
    Condition,
    Generation,
    Index,
    IndexFault,
    IndexMissing,
    IndexRefused,
    IndexUnavailable,
    Match,
    Operator,
    Record,
    Scalar,
    Stored,
)
