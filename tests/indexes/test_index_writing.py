"""The contract of indexes: writing, deleting and listing records, on every engine."""

from __future__ import annotations

import math
import sys
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmsearch_app.indexes.base import Generation, Index, Record
from mmsearch_app.indexes.milvus import MilvusIndex, schema
from mmsearch_app.indexes.records import MAX_BYTES
from tests.indexes.kit import AHEAD, NASTY, found, record, records, unit, where

NAMELESS: dict[str, Any] = {"": 1}


class TestWriting:
    def test_writing_a_record_twice_keeps_one(self, index: Index, generation: Generation) -> None:
        for _ in range(2):
            index.upsert([record("a")], generation=generation.name)
        assert index.count(generation=generation.name) == 1
        assert list(dict(index.contents(generation=generation.name))) == ["a"]

    def test_the_last_of_two_equal_ids_in_a_call_is_kept(
        self, index: Index, generation: Generation
    ) -> None:
        both = [record("a", digest="old"), record("b"), record("a", digest="new")]
        index.upsert(both, generation=generation.name)
        matches = index.search(AHEAD, generation=generation.name, limit=5)
        assert {m.id: m.digest for m in matches} == {"a": "new", "b": ""}
        assert index.count(generation=generation.name) == 2

    def test_a_second_write_replaces_the_whole_record(
        self, index: Index, generation: Generation
    ) -> None:
        index.upsert([record("a", colour="red", price=3)], generation=generation.name)
        index.upsert([record("a", unit(0, 1, 0, 0), colour="blue")], generation=generation.name)
        assert found(index, generation, where("colour", "in", "red")) == set()
        assert found(index, generation, where("price", "gt", 0)) == set()
        (match,) = index.search(unit(0, 1, 0, 0), generation=generation.name, limit=5)
        assert match.score == pytest.approx(1, abs=1e-5)

    def test_writing_nothing_is_no_error(self, index: Index, generation: Generation) -> None:
        index.upsert([], generation=generation.name)
        index.delete([], generation=generation.name)
        assert index.count(generation=generation.name) == 0

    @pytest.mark.parametrize(
        "bad",
        [
            record("bad", unit(1, 0, 0)),
            record("bad", np.array([math.nan, 0, 0, 1], dtype=np.float32)),
            record("bad", np.array([math.inf, 0, 0, 1], dtype=np.float32)),
            record("bad", np.zeros(4, dtype=np.float32)),
            record("bad", np.array([0, 0, 0, 2], dtype=np.float32)),
            record("bad", np.full((1, 4), 0.5, dtype=np.float32)),
            record(""),
            record("é" * 257),
            record("bad", product="x" * 513),
            record("bad", price=math.nan),
            record("bad", price=None),
            record("bad", tags=["x", object()]),
            record("bad", words=["x" * 70_000]),
            record("bad", **NAMELESS),
        ],
        ids=[
            "dimension",
            "nan",
            "infinite",
            "zero",
            "long",
            "matrix",
            "no id",
            "id",
            "product",
            "nan filter",
            "no value",
            "object",
            "too many filters",
            "nameless filter",
        ],
    )
    def test_one_invalid_record_stops_the_call_before_anything_is_written(
        self, index: Index, generation: Generation, bad: Record
    ) -> None:
        with pytest.raises(ValueError, match=r"\w"):
            index.upsert([record("good"), bad], generation=generation.name)
        assert index.count(generation=generation.name) == 0

    def test_more_records_than_fit_one_request_are_written(self, index: Index) -> None:
        big = index.create(fingerprint="model@1/2048", dimension=2048)
        index.upsert(records(1100, dimension=2048), generation=big.name)
        assert index.count(generation=big.name) == 1100

    def test_deleted_records_are_gone(self, index: Index, roomy: Generation) -> None:
        index.upsert(records(1300), generation=roomy.name)
        index.delete([f"r{n:05}" for n in range(1299)] + ["never"], generation=roomy.name)
        assert list(dict(index.contents(generation=roomy.name))) == ["r01299"]
        assert index.count(generation=roomy.name) == 1
        assert found(index, roomy) == {"r01299"}

    def test_a_deleted_record_can_come_back(self, index: Index, generation: Generation) -> None:
        index.upsert([record("a")], generation=generation.name)
        index.delete(["a"], generation=generation.name)
        index.upsert([record("a")], generation=generation.name)
        assert found(index, generation) == {"a"}

    def test_concurrent_writes_lose_nothing(self, index: Index, roomy: Generation) -> None:
        def write(thread: int) -> None:
            for start in range(0, 400, 40):
                batch = records(400, prefix=f"t{thread}-")[start : start + 40]
                index.upsert(batch, generation=roomy.name)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = {f"t{thread}-{n:05}" for thread in range(3) for n in range(400)}
        assert set(dict(index.contents(generation=roomy.name))) == expected
        assert index.count(generation=roomy.name) == 1200


class TestReconciling:
    def test_vectors_come_back_as_stored(self, index: Index, roomy: Generation) -> None:
        stored = records(1100)
        index.upsert(stored, generation=roomy.name)
        vectors = index.stored([*(r.id for r in stored), "never"], generation=roomy.name)
        assert vectors.keys() == {r.id for r in stored}
        for rec in stored:
            vector = vectors[rec.id].vector
            assert vector.dtype == np.float32
            np.testing.assert_allclose(vector, rec.vector, atol=1e-6)

    def test_the_content_comes_back_with_the_vector_it_was_written_with(
        self, index: Index, generation: Generation
    ) -> None:
        for content, vector in (("a" * 64, unit(1, 0, 0, 0)), ("b" * 64, unit(0, 1, 0, 0))):
            written = replace(record("a", vector), content=content)
            index.upsert([written], generation=generation.name)
            found = index.stored(["a"], generation=generation.name)["a"]
            assert found.content == content
            np.testing.assert_allclose(found.vector, vector, atol=1e-6)
            assert list(index.contents(generation=generation.name)) == [("a", content)]

    def test_a_collection_without_the_column_for_contents_goes_on_working(
        self, index: Index, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Such as version 0.2 made."""
        if not isinstance(index, MilvusIndex):
            return
        sizes = {**MAX_BYTES, "fingerprint": 1024}
        del sizes["content"]
        with monkeypatch.context() as patch:
            patch.setattr(schema, "MAX_BYTES", sizes)
            old = index.create(fingerprint="older", dimension=4)
        assert not old.keeps_content
        index.upsert([replace(record("a"), content="a" * 64)], generation=old.name)
        assert list(index.contents(generation=old.name)) == [("a", "")]
        assert index.stored(["a"], generation=old.name)["a"].content == ""
        (match,) = index.search(AHEAD, generation=old.name, limit=1)
        assert match.id == "a"

    def test_a_generation_keeps_the_last_stamp(self, index: Index, generation: Generation) -> None:
        other = index.create(fingerprint="stamped", dimension=4)
        assert index.stamp(generation=other.name) == ""
        for text in ("first 1", "second 2"):
            index.restamp(text, generation=other.name)
            assert index.stamp(generation=other.name) == text
        assert index.stamp(generation=generation.name) == ""
        assert other in index.generations()

    def test_no_ids_give_no_vectors(self, index: Index, generation: Generation) -> None:
        assert index.stored([], generation=generation.name) == {}

    def test_every_id_comes_once_over_several_pages(
        self, index: Index, roomy: Generation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys.modules[MilvusIndex.__module__], "PAGE", 500)
        stored = records(1200)
        index.upsert(stored, generation=roomy.name)
        ids = [key for key, _ in index.contents(generation=roomy.name)]
        assert len(ids) == 1200
        assert set(ids) == {r.id for r in stored}

    def test_any_id_can_be_listed_read_and_deleted(
        self, index: Index, generation: Generation
    ) -> None:
        texts = [text for text in NASTY if text]
        index.upsert([record(text) for text in texts], generation=generation.name)
        assert set(dict(index.contents(generation=generation.name))) == set(texts)
        for number, text in enumerate(texts, start=1):
            assert index.stored([text], generation=generation.name).keys() == {text}
            index.delete([text], generation=generation.name)
            assert index.count(generation=generation.name) == len(texts) - number
