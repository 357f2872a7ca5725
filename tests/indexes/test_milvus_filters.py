"""Storage of filters: flat in Milvus Lite, as JSON on a server and in older files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.indexes.base import Condition
from mmsearch_app.indexes.milvus import MilvusIndex
from mmsearch_app.indexes.milvus.schema import FINGERPRINT, make_index, make_schema
from mmsearch_app.indexes.records import name_generation
from tests.indexes.conftest import opened
from tests.indexes.kit import NASTY, found, record, where

FILTERS = [
    (where("kind", "in", "mug"), {"mug", "cup"}),
    (where("kind", "in", "cup", "lamp"), {"lamp"}),
    (where("price", "gte", 10), {"cup", "set"}),
    (where("price", "lt", 5.5), {"set"}),
    (where("sale", "in", True), {"mug"}),
    (where("nothing has it", "in", "mug"), set()),
    (where("nothing has it", "gt", 0), set()),
    (where("kind", "gt", 0), set()),
]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[MilvusIndex]:
    with opened(tmp_path / "shop.db") as index:
        yield index


def add_older_generation(index: MilvusIndex) -> None:
    """Create a generation with filters as JSON, as older versions did."""
    client = index._connection
    name = name_generation(index.collection, "model@1")
    schema, properties = make_schema(4, flat=False), {FINGERPRINT: "model@1"}
    client.call("create_collection", name, schema=schema, properties=properties)
    client.call("create_index", name, make_index("FLAT", {}), sync=False)
    client.call("load_collection", name)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(("condition", "expected"), FILTERS)
def test_old_and_new_files_are_filtered_alike(
    index: MilvusIndex, condition: Condition, expected: set[str], *, older: bool
) -> None:
    if older:
        add_older_generation(index)
    else:
        index.create(fingerprint="model@1", dimension=4)
    (generation,) = index.generations()
    stock = [
        record("mug", kind="mug", price=9, sale=True),
        record("cup", kind="mug", price=10, sale=False),
        record("lamp", kind="lamp"),
        record("set", kind=["set", "gift"], price=[5, 25.5]),
    ]
    index.upsert(stock, generation=generation.name)
    assert found(index, generation, condition) == expected


def test_records_of_an_older_file_are_replaced_completely(index: MilvusIndex) -> None:
    add_older_generation(index)
    (generation,) = index.generations()
    for filters in ({"kind": "mug", "price": 3}, {"kind": "cup"}):
        index.upsert([record("a", **filters)], generation=generation.name)
    assert found(index, generation, where("kind", "in", "cup")) == {"a"}
    assert found(index, generation, where("price", "gt", 0)) == set()


def test_a_record_with_the_maximum_of_values_is_found_in_a_file(index: MilvusIndex) -> None:
    generation = index.create(fingerprint="model@1", dimension=4)
    values = list(range(8_000))
    index.upsert([record("all", n=values), record("none")], generation=generation.name)
    for value in (0, 4_321, 7_999):
        assert found(index, generation, where("n", "in", value)) == {"all"}


def test_names_that_look_like_columns_or_wildcards_stay_apart(index: MilvusIndex) -> None:
    generation = index.create(fingerprint="model@1", dimension=4)
    names = ["id", "terms", "source", "least:price", "%", "_", *filter(None, NASTY)]
    filters: list[dict[str, Any]] = [{name: n} for n, name in enumerate(names)]
    stock = [record(f"r{n}", **given) for n, given in enumerate(filters)]
    index.upsert(stock, generation=generation.name)
    for n, name in enumerate(names):
        assert found(index, generation, where(name, "in", n)) == {f"r{n}"}
        assert found(index, generation, where(name, "gte", n)) == {f"r{n}"}


def test_conditions_on_two_names_combine_with_excluded_products(
    uri_of: Callable[[str], str | Path],
) -> None:
    with opened(uri_of("lite-server")) as index:
        generation = index.create(fingerprint="model@1", dimension=4)
        stock = [record(f"r{n}", kind=f"k{n % 2}", price=n) for n in range(8)]
        index.upsert(stock, generation=generation.name)
        conditions = where("kind", "in", "k1", "k7"), where("price", "lt", 6)
        assert found(index, generation, *conditions, exclude_products=["r3"]) == {"r1", "r5"}
