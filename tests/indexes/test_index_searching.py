"""The contract of indexes: searches and conditions, on every engine."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from typing import Any, TypeAlias

import numpy as np
import pytest

from mmsearch_app.indexes.base import Condition, Generation, Index
from tests.indexes.kit import AHEAD, NASTY, found, record, unit, units, where

Filled: TypeAlias = tuple[Index, Generation]


class TestSearching:
    def test_an_empty_generation_has_no_matches(self, index: Index, generation: Generation) -> None:
        assert index.search(AHEAD, generation=generation.name, limit=3) == []

    def test_a_match_has_all_fields_of_its_record(
        self, index: Index, generation: Generation
    ) -> None:
        index.upsert(
            [record("shop.Image:7", unit(1, 1, 0, 0), product="42", digest="d" * 64)],
            generation=generation.name,
        )
        (match,) = index.search(AHEAD, generation=generation.name, limit=3)
        assert (match.id, match.product, match.source) == ("shop.Image:7", "42", "shop.Image")
        assert match.digest == "d" * 64
        assert match.score == pytest.approx(math.sqrt(0.5), abs=1e-5)

    def test_the_score_is_the_cosine_whatever_the_length_of_the_query(
        self, index: Index, generation: Generation
    ) -> None:
        index.upsert([record("a"), record("b", unit(-1, 0, 0, 0))], generation=generation.name)
        query = np.array([250, 0, 0, 0], dtype=np.float32)
        scores = [m.score for m in index.search(query, generation=generation.name, limit=3)]
        assert scores == pytest.approx([1, -1], abs=1e-5)

    def test_each_product_comes_once_with_its_best_image_in_order(self, index: Index) -> None:
        generation = index.create(fingerprint="model@1/16", dimension=16)
        # The nearest 300 images show one product, the next 120 show two.
        vectors = units(1200, dimension=16)
        query = vectors[0]
        order = np.argsort(-(vectors @ query), kind="stable")
        sizes = [300, 60, 60] + [13] * 60
        owner = np.repeat(np.arange(len(sizes)), sizes)
        stored = [
            record(f"r{row:05}", vectors[row], product=f"p{owner[rank]}")
            for rank, row in enumerate(order)
        ]
        index.upsert(stored, generation=generation.name)
        matches = index.search(query, generation=generation.name, limit=24)
        best: dict[str, float] = defaultdict(lambda: -1)
        for rec in stored:
            best[rec.product] = max(best[rec.product], float(rec.vector @ query))
        expected = sorted(best, key=lambda product: -best[product])[:24]
        assert [match.product for match in matches] == expected
        assert [match.score for match in matches] == pytest.approx(
            [best[product] for product in expected], abs=1e-4
        )

    def test_all_products_come_when_fewer_match_than_wanted(
        self, index: Index, generation: Generation
    ) -> None:
        stored = [record(f"r{n}", product=f"p{n % 7}") for n in range(70)]
        index.upsert(stored, generation=generation.name)
        matches = index.search(AHEAD, generation=generation.name, limit=50)
        assert sorted(match.product for match in matches) == [f"p{n}" for n in range(7)]

    def test_excluded_products_are_not_found(self, index: Index, generation: Generation) -> None:
        index.upsert(
            [record(f"r{n}", product=text) for n, text in enumerate(NASTY)],
            generation=generation.name,
        )
        for number, text in enumerate(NASTY):
            expected = {f"r{n}" for n in range(len(NASTY))} - {f"r{number}"}
            assert found(index, generation, exclude_products=[text]) == expected
        assert found(index, generation, exclude_products=NASTY[1:]) == {"r0"}

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_limit_below_one_is_refused(
        self, index: Index, generation: Generation, limit: int
    ) -> None:
        with pytest.raises(ValueError, match="limit"):
            index.search(AHEAD, generation=generation.name, limit=limit)

    @pytest.mark.parametrize(
        "query", [[1, 0, 0], [0, 0, 0, 0], [math.nan, 0, 0, 0]], ids=["dimension", "zero", "nan"]
    )
    def test_a_zero_vector_is_refused(
        self, index: Index, generation: Generation, query: list[float]
    ) -> None:
        vector = np.array(query, dtype=np.float32)
        with pytest.raises(ValueError, match="vector of the query"):
            index.search(vector, generation=generation.name, limit=3)

    def test_a_limit_above_the_servers_page_size_works(
        self, index: Index, generation: Generation
    ) -> None:
        index.upsert([record("a"), record("b")], generation=generation.name)
        matches = index.search(AHEAD, generation=generation.name, limit=20_000)
        assert {match.id for match in matches} == {"a", "b"}


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            (where("kind", "in", "mug"), {"mug", "cup"}),
            (where("kind", "in", "lamp", "gift"), {"mug", "lamp", "set"}),
            (where("kind", "in", "Mug"), set()),
            (where("kind", "in", "mu%"), set()),
            (where("kind", "in"), set()),
            (where("kind", "in", 3), set()),
            (where("colour", "in", "red"), set()),
            (where("price", "in", 10), {"cup", "lamp"}),
            (where("price", "in", 10.0, 9.5), {"mug", "cup", "lamp"}),
            (where("price", "in", 25.5), {"set"}),
            (where("price", "in", "10"), set()),
            (where("price", "gt", 10), {"set"}),
            (where("price", "gte", 10), {"cup", "lamp", "set"}),
            (where("price", "lt", 9.5), {"set"}),
            (where("price", "lte", 9.5), {"mug", "set"}),
            (where("price", "gt", -1e300), {"mug", "cup", "lamp", "set"}),
            (where("price", "lt", 1e-7), set()),
            (where("stock", "lt", 0), {"set"}),
            (where("stock", "in", 1), {"lamp"}),
            (where("stock", "in", True), set()),
            (where("sale", "in", True), {"mug"}),
            (where("sale", "in", False), {"cup"}),
            (where("sale", "in", 1), set()),
            (where("sale", "gte", 0), set()),
            (where("label", "in", 1, True), set()),
            (where("label", "in", "1"), {"lamp"}),
            (where("label", "gt", 0), set()),
            (where("colour", "gt", 0), set()),
        ],
        ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
    )
    def test_a_condition_selects_matching_records(
        self, filled: Filled, condition: Condition, expected: set[str]
    ) -> None:
        assert found(*filled, condition) == expected

    def test_all_conditions_must_match(self, filled: Filled) -> None:
        conditions = [
            where("kind", "in", "gift"),
            where("price", "gte", 9),
            where("stock", "gt", 0),
        ]
        assert found(*filled, *conditions) == {"mug"}
        assert found(*filled, *conditions, exclude_products=["mug"]) == set()

    def test_many_values_are_one_condition(self, filled: Filled) -> None:
        values = [f"kind {n}" for n in range(2000)] + ["lamp"]
        assert found(*filled, where("kind", "in", *values)) == {"lamp"}

    @pytest.mark.parametrize(
        "condition",
        [
            where("price", "gt"),
            where("price", "gt", 1, 2),
            where("price", "lt", "9"),
            where("price", "gte", True),
            where("price", "lte", math.nan),
            where("price", "in", None),
            where("", "gt", 1),
        ],
        ids=str,
    )
    def test_an_invalid_condition_is_refused(self, filled: Filled, condition: Condition) -> None:
        with pytest.raises(ValueError, match=r"number|name"):
            found(*filled, condition)

    def test_integers_beyond_doubles_are_distinguished(
        self, index: Index, generation: Generation
    ) -> None:
        index.upsert(
            [record("a", serial=2**53), record("b", serial=2**53 + 1)], generation=generation.name
        )
        assert found(index, generation, where("serial", "in", 2**53 + 1)) == {"b"}
        assert found(index, generation, where("serial", "in", 2**90)) == set()

    def test_a_moment_is_found_by_number_and_by_day(
        self, index: Index, generation: Generation
    ) -> None:
        records = [
            record("noon", made=[1_795_863_600.000001, "2026-11-28"]),
            record("next", made=[1_795_906_800.0, "2026-11-29"]),
        ]
        index.upsert(records, generation=generation.name)

        def ids(operator: Any, value: Any) -> set[str]:
            return found(index, generation, where("made", operator, value))

        assert ids("in", "2026-11-28") == ids("in", 1_795_863_600.000001) == {"noon"}
        assert ids("gte", 1_795_906_800.0) == {"next"}
        assert ids("lte", 1_795_906_799.999999) == {"noon"}
        assert ids("lte", sys.float_info.max) == ids("gte", -sys.float_info.max) == {"noon", "next"}

    def test_any_text_is_taken_literally(self, index: Index, generation: Generation) -> None:
        stored = [record(f"r{n}", word=text) for n, text in enumerate(NASTY)]
        index.upsert([*stored, record("bare", x="x")], generation=generation.name)
        for number, text in enumerate(NASTY):
            assert found(index, generation, where("word", "in", text)) == {f"r{number}"}

    def test_no_text_alters_the_filter(self, index: Index, generation: Generation) -> None:
        index.upsert([record("a", word="a"), record("b")], generation=generation.name)
        for text in (*NASTY, "\ud800"):
            assert found(index, generation, where("word", "in", text)) == set()
            assert found(index, generation, where(f"x{text}", "in", "a")) == set()
            assert found(index, generation, where(f"x{text}", "gt", -1)) == set()

    def test_any_name_is_taken_literally(self, index: Index, generation: Generation) -> None:
        names = [text for text in NASTY if text]
        filters: list[dict[str, Any]] = [{name: 1} for name in names]
        stored = [record(f"r{n}", **given) for n, given in enumerate(filters)]
        index.upsert(stored, generation=generation.name)
        for number, name in enumerate(names):
            assert found(index, generation, where(name, "in", 1)) == {f"r{number}"}
            assert found(index, generation, where(name, "gte", 1)) == {f"r{number}"}
