"""The columns of a generation in Milvus, and the limits of a call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mmsearch_app.indexes.base import Generation
from mmsearch_app.indexes.milvus.filters import add_columns, make_columns
from mmsearch_app.indexes.records import MAX_BYTES

if TYPE_CHECKING:
    from mmsearch_app.indexes.base import Record
    from mmsearch_app.indexes.records import Facets

FINGERPRINT = "mmsearch.fingerprint"
"""Collection property with the fingerprint (Milvus Lite does not store descriptions)."""
STAMP = "mmsearch.stamp"
"""Collection property with the text of `Index.restamp`."""
_REQUIRED = {"id", "product", "source", "digest", "vector"}
"""Columns that every generation has had."""
METRIC = "COSINE"
CONSISTENCIES = ("Strong", "Session", "Bounded", "Eventually")

Item = TypeVar("Item")

MAX_ROWS = 500
MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of vectors per call; with 64 KiB of filters per row a call stays below 64 MiB."""


def check_options(*, collection: str, timeout: float, consistency: str) -> None:
    """Raise ValueError, naming the right values, if an option is invalid."""
    if consistency not in CONSISTENCIES:
        msg = f"consistency={consistency!r} is unknown; use one of {CONSISTENCIES}."
        raise ValueError(msg)
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,199}", collection) is None:
        msg = f"collection={collection!r} must be letters, digits and _, at most 200 of them."
        raise ValueError(msg)
    if not timeout > 0:
        msg = f"timeout={timeout!r} must be a number of seconds above 0."
        raise ValueError(msg)


def make_schema(dimension: int, *, flat: bool) -> Any:
    """Return the schema. For `flat`, see `filters`."""
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for name, size in MAX_BYTES.items():
        schema.add_field(name, DataType.VARCHAR, max_length=size, is_primary=name == "id")
    add_columns(schema, flat=flat)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    return schema


def make_index(index_type: str, params: Mapping[str, Any]) -> Any:
    from pymilvus import MilvusClient

    index = MilvusClient.prepare_index_params()
    options = {"index_type": index_type, "metric_type": METRIC, "params": dict(params)}
    index.add_index("vector", index_name="vector", **options)
    return index


def read_generation(described: Mapping[str, Any]) -> Generation | None:
    """Return the generation that `describe_collection` describes, or None for other collections."""
    fingerprint = described["properties"].get(FINGERPRINT)
    fields = {field["name"]: field for field in described["fields"]}
    if fingerprint is None or not fields.keys() >= _REQUIRED:
        return None
    return Generation(
        name=described["collection_name"],
        fingerprint=fingerprint,
        dimension=int(fields["vector"]["params"]["dim"]),
        keeps_content="content" in fields,
    )


def describe_fields(described: Mapping[str, Any]) -> str:
    """Return the fields of a collection in words, with the dimension of vectors."""
    dimensions = {
        field["name"]: field["params"]["dim"]
        for field in described["fields"]
        if "dim" in field.get("params", {})
    }
    names = [
        f"{field['name']} ({dimensions[field['name']]} dimensions)"
        if field["name"] in dimensions
        else field["name"]
        for field in described["fields"]
    ]
    return f"the fields {', '.join(names)}"


def make_row(
    record: Record, facets: Facets, *, generation: Generation, flat: bool
) -> dict[str, Any]:
    """Return the row. Collections without `content` have a column for the fingerprint instead."""
    version = (
        {"content": record.content}
        if generation.keeps_content
        else {"fingerprint": generation.fingerprint}
    )
    return {
        "id": record.id,
        "product": record.product,
        "source": record.source,
        "digest": record.digest,
        **version,
        "vector": np.asarray(record.vector, dtype=np.float32),
        **make_columns(facets, flat=flat),
    }


def batches(items: Sequence[Item], *, dimension: int = 0) -> Iterator[Sequence[Item]]:
    """Split `items` into batches within the limits on rows and bytes of vectors per call."""
    size = max(1, min(MAX_ROWS, MAX_MESSAGE // (4 * max(dimension, 1))))
    for start in range(0, len(items), size):
        yield items[start : start + size]
