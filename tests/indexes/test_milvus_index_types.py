"""The index types of a Milvus server: built and searched as the options say."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from mmsearch_app.indexes.milvus import MilvusIndex
from mmsearch_app.indexes.milvus.index_types import INDEX_TYPES, MOST, build_params, search_params
from tests.indexes.conftest import opened
from tests.indexes.kit import record, records, unit, units, where

DIMENSION = 64
ROWS = 1_500
"""Fewer are not indexed at all."""


def fill(index: MilvusIndex, rows: int = ROWS) -> str:
    name = index.create(fingerprint="model@1", dimension=DIMENSION).name
    index.upsert(records(rows, dimension=DIMENSION), generation=name)
    settle(index, name)
    return name


def settle(index: MilvusIndex, name: str) -> None:
    deadline = time.monotonic() + 600
    for share in index.settle(generation=name):
        assert time.monotonic() < deadline, f"stands at {share}"
        time.sleep(0.2)


def built(index: MilvusIndex, name: str) -> dict[str, str]:
    described = index._connection.call("describe_index", name, "vector")
    return {key: str(value) for key, value in described.items()}


@pytest.mark.parametrize(
    ("index_type", "parameter"),
    [
        ("HNSW", "efConstruction"),
        ("IVF_FLAT", "nlist"),
        ("IVF_SQ8", "nlist"),
        ("IVF_PQ", "m"),
        ("SCANN", "nlist"),
    ],
)
def test_a_server_builds_and_searches_a_type_without_parameters(
    milvus_uri: str, index_type: str, parameter: str
) -> None:
    """Milvus itself refuses to build these without."""
    with opened(milvus_uri, index_type=index_type) as index:
        name = fill(index)
        expected = build_params(index_type, {}, dimension=DIMENSION)[parameter]
        assert built(index, name)["index_type"] == index_type
        assert built(index, name)[parameter] == str(expected)
        vectors = units(ROWS, dimension=DIMENSION)
        # The vectors are random, the hardest case: all that is asked of a quantised one is that
        # it finds what was written.
        found = [
            index.search(vectors[n], generation=name, limit=100)[:5] for n in range(0, ROWS, 100)
        ]
        itself = [
            f"r{n:05}" in {match.id for match in near}
            for n, near in zip(range(0, ROWS, 100), found, strict=True)
        ]
        assert np.mean(itself) >= 0.8


def test_parameters_reach_the_server(milvus_uri: str) -> None:
    options = {"index_params": {"M": 7, "efConstruction": 33}, "search_params": {"ef": 1}}
    with opened(milvus_uri, index_type="HNSW", **options) as index:
        name = fill(index)
        assert built(index, name)["M"] == "7"
        assert built(index, name)["efConstruction"] == "33"
        # Milvus refuses an `ef` below the number of hits.
        assert len(index.search(unit(*[1] * DIMENSION), generation=name, limit=30)) == 30


def test_an_index_of_another_type_is_searched_as_its_own_and_named_in_the_log(
    milvus_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(milvus_uri, index_type="IVF_FLAT", index_params={"nlist": 256}) as before:
        name = fill(before)
        options = {"index_type": "HNSW", "search_params": {"ef": 77}}
        with opened(milvus_uri, collection=before.collection, **options) as index:
            vectors = units(ROWS, dimension=DIMENSION)
            for _ in range(2):
                expected = before.search(vectors[3], generation=name, limit=40)
                assert index.search(vectors[3], generation=name, limit=40) == expected
    (warning,) = [r.getMessage() for r in caplog.records if "mmsearch_reindex" in r.getMessage()]
    assert "the type IVF_FLAT, while the options say HNSW" in warning


def test_a_new_type_is_built_by_the_next_generation(milvus_uri: str) -> None:
    with opened(milvus_uri) as before:
        old = fill(before)
        with opened(milvus_uri, collection=before.collection, index_type="IVF_SQ8") as index:
            new = fill(index)
            assert built(index, old)["index_type"] == "AUTOINDEX"
            assert built(index, new)["index_type"] == "IVF_SQ8"


def test_a_filter_costs_no_neighbours(milvus_uri: str) -> None:
    """With as many candidates as hits, one in six is missed if a filter keeps a tenth."""
    rows = 20_000
    vectors = clustered(rows)
    with opened(milvus_uri) as index:
        name = index.create(fingerprint="model@1", dimension=DIMENSION).name
        index.upsert(
            [record(f"r{n}", vectors[n], tenth=n % 10 == 0) for n in range(rows)], generation=name
        )
        settle(index, name)
        right = 0
        for number in range(0, 1_000, 20):
            scores = vectors[::10] @ vectors[number]
            nearest = {f"r{10 * n}" for n in np.argsort(-scores)[:10]}
            kept = [where("tenth", "in", True)]
            found = index.search(vectors[number], generation=name, limit=10, conditions=kept)
            right += len(nearest & {match.id for match in found})
    assert right / 500 >= 0.98


@pytest.mark.parametrize("index_type", ["IVF_FLAT", "IVF_SQ8"])
def test_a_filter_shortens_no_answer_of_an_index_with_cells(
    milvus_uri: str, index_type: str
) -> None:
    """The nearest of 200 cells contain none or one of the thirty images that pass the filter."""
    options = {"index_params": {"nlist": 200}, "search_params": {"nprobe": 2}}
    with opened(milvus_uri, index_type=index_type, **options) as index:
        name = index.create(fingerprint="model@1", dimension=DIMENSION).name
        vectors = clustered(ROWS)
        index.upsert(
            [record(f"r{n}", vectors[n], rare=n % 50 == 0) for n in range(ROWS)], generation=name
        )
        settle(index, name)
        rare = [where("rare", "in", True)]
        found = index.search(vectors[3], generation=name, limit=20, conditions=rare)
        assert len(found) == 20
        everything = index.search(vectors[3], generation=name, limit=100, conditions=rare)
        assert {match.id for match in everything} == {f"r{n}" for n in range(0, ROWS, 50)}


def clustered(rows: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, DIMENSION))
    points = centres[rng.integers(200, size=rows)] + 0.7 * rng.normal(size=(rows, DIMENSION))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("index_type", INDEX_TYPES)
def test_a_search_looks_at_more_vectors_than_it_returns(index_type: str) -> None:
    reach = INDEX_TYPES[index_type].reach
    for limit in (1, 40, 500, 16_384):
        params = search_params(index_type, {}, limit=limit)
        assert not reach or min(2 * limit, MOST) <= params[reach] <= MOST


def test_a_given_reach_holds_unless_it_is_below_the_limit() -> None:
    assert search_params("HNSW", {"ef": 100}, limit=40) == {"ef": 100}
    assert search_params("HNSW", {"ef": 100}, limit=400) == {"ef": 400}
    assert search_params("SCANN", {"reorder_k": 50}, limit=9)["reorder_k"] == 50


def test_parameters_of_another_type_are_not_sent() -> None:
    assert "ef" not in search_params("IVF_FLAT", {"ef": 100}, limit=40)
    assert search_params("IVF_FLAT", {"nprobe": 9}, limit=40) == {"nprobe": 9}
    assert search_params("NEWER_THAN_THIS", {"probes": 9}, limit=40) == {"probes": 9}


@pytest.mark.parametrize(("dimension", "m"), [(512, 64), (100, 10), (7, 1)])
def test_product_quantisation_divides_any_dimension(dimension: int, m: int) -> None:
    assert build_params("IVF_PQ", {}, dimension=dimension)["m"] == m


def test_a_file_searches_exactly_by_default(tmp_path: Path) -> None:
    with opened(tmp_path / "shop.db") as index:
        name = fill(index, 50)
        assert built(index, name)["index_type"] == "FLAT"
