"""What every index promises, on every engine."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from typing import TypeAlias

import numpy as np
import pytest

from mmsearch_app.indexes.base import Generation, Index, IndexMissing, Record
from mmsearch_app.indexes.records import name_generation
from tests.indexes.kit import NASTY, record, records, unit, units, where

AHEAD = unit(1, 0, 0, 0)
Filled: TypeAlias = tuple[Index, Generation]


def found(index: Index, generation: Generation, *conditions: object, **options: object) -> set[str]:
    matches = index.search(
        AHEAD, generation=generation.name, limit=100, conditions=conditions, **options
    )
    return {match.id for match in matches}


def test_it_is_an_index(index: Index) -> None:
    assert isinstance(index, Index)


class TestGenerations:
    def test_nothing_is_live_before_the_first_promotion(self, fresh: Index) -> None:
        fresh.create(fingerprint="model@1", dimension=4)
        assert fresh.live() is None

    def test_a_generation_remembers_its_model_and_dimension(self, fresh: Index) -> None:
        made = fresh.create(fingerprint='modèle "x"\\y@1|4', dimension=4)
        fresh.close()
        assert fresh.generations() == [made]
        assert (made.fingerprint, made.dimension) == ('modèle "x"\\y@1|4', 4)

    def test_they_are_listed_oldest_first(self, fresh: Index) -> None:
        made = [fresh.create(fingerprint=f"model@{n}", dimension=4) for n in range(3)]
        assert fresh.generations() == made

    def test_the_promoted_one_is_live(self, fresh: Index) -> None:
        old, new = (fresh.create(fingerprint="model@1", dimension=4) for _ in range(2))
        for generation in (old, new, new, old):
            fresh.promote(generation.name)
            assert fresh.live() == generation

    def test_the_live_one_cannot_be_dropped(self, fresh: Index) -> None:
        generation = fresh.create(fingerprint="model@1", dimension=4)
        fresh.promote(generation.name)
        with pytest.raises(ValueError, match="is live"):
            fresh.drop(generation.name)
        assert fresh.live() == generation

    def test_a_dropped_one_is_gone_and_dropping_it_again_no_error(self, fresh: Index) -> None:
        generation = fresh.create(fingerprint="model@1", dimension=4)
        fresh.upsert([record("a")], generation=generation.name)
        for _ in range(2):
            fresh.drop(generation.name)
            assert fresh.generations() == []
        with pytest.raises(IndexMissing):
            fresh.upsert([record("b")], generation=generation.name)

    @pytest.mark.parametrize(
        "use",
        [
            lambda index, name: index.promote(name),
            lambda index, name: index.upsert([record("a")], generation=name),
            lambda index, name: index.delete(["a"], generation=name),
            lambda index, name: index.search(AHEAD, generation=name, limit=1),
            lambda index, name: index.vectors(["a"], generation=name),
            lambda index, name: list(index.ids(generation=name)),
            lambda index, name: index.count(generation=name),
        ],
        ids=["promote", "upsert", "delete", "search", "vectors", "ids", "count"],
    )
    def test_one_that_never_was_is_missing(self, index: Index, use: object) -> None:
        with pytest.raises(IndexMissing):
            use(index, name_generation("product_images", "never"))  # type: ignore[operator]

    def test_records_of_two_stay_apart(self, index: Index, generation: Generation) -> None:
        other = index.create(fingerprint="model@2", dimension=4)
        index.upsert([record("a")], generation=generation.name)
        counts = [index.count(generation=name) for name in (generation.name, other.name)]
        assert counts == [1, 0]


class TestWriting:
    def test_the_same_record_twice_is_one(self, index: Index, generation: Generation) -> None:
        for _ in range(2):
            index.upsert([record("a")], generation=generation.name)
        assert index.count(generation=generation.name) == 1
        assert list(index.ids(generation=generation.name)) == ["a"]

    def test_the_last_of_two_in_one_call_counts(self, index: Index, generation: Generation) -> None:
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

    def test_nothing_to_write_is_no_error(self, index: Index, generation: Generation) -> None:
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
            record("bad", np.ones((1, 4), dtype=np.float32) / 2),
            record(""),
            record("é" * 257),
            record("bad", product="x" * 513),
            record("bad", price=math.nan),
            record("bad", price=None),
            record("bad", tags=["x", object()]),
            record("bad", words=["x" * 70_000]),
            record("bad", **{"": 1}),
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
    def test_one_bad_record_stops_all_before_anything_is_written(
        self, index: Index, generation: Generation, bad: Record
    ) -> None:
        with pytest.raises(ValueError, match=r"\w"):
            index.upsert([record("good"), bad], generation=generation.name)
        assert index.count(generation=generation.name) == 0

    def test_more_records_than_one_call_may_carry_arrive(self, index: Index) -> None:
        big = index.create(fingerprint="model@1/2048", dimension=2048)
        index.upsert(records(2500, dimension=2048), generation=big.name)
        assert index.count(generation=big.name) == 2500

    def test_deleted_records_are_gone(self, index: Index, roomy: Generation) -> None:
        index.upsert(records(1300), generation=roomy.name)
        index.delete([f"r{n:05}" for n in range(1299)] + ["never"], generation=roomy.name)
        assert list(index.ids(generation=roomy.name)) == ["r01299"]
        assert index.count(generation=roomy.name) == 1
        assert found(index, roomy) == {"r01299"}

    def test_a_deleted_record_can_come_back(self, index: Index, generation: Generation) -> None:
        index.upsert([record("a")], generation=generation.name)
        index.delete(["a"], generation=generation.name)
        index.upsert([record("a")], generation=generation.name)
        assert found(index, generation) == {"a"}

    def test_threads_that_write_at_once_lose_nothing(self, index: Index, roomy: Generation) -> None:
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
        assert set(index.ids(generation=roomy.name)) == expected
        assert index.count(generation=roomy.name) == 1200


class TestSearching:
    def test_an_empty_generation_answers_nothing(
        self, index: Index, generation: Generation
    ) -> None:
        assert index.search(AHEAD, generation=generation.name, limit=3) == []

    def test_a_match_tells_all_that_is_known(self, index: Index, generation: Generation) -> None:
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

    def test_products_come_once_by_their_best_picture_and_in_order(self, index: Index) -> None:
        generation = index.create(fingerprint="model@1/16", dimension=16)
        # Products crowd: the nearest 300 pictures show one product, the next 120 two.
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

    def test_excluded_products_stay_out(self, index: Index, generation: Generation) -> None:
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
        "query",
        [[1, 0, 0], [0, 0, 0, 0], [math.nan, 0, 0, 0]],
        ids=["dimension", "zero", "nan"],
    )
    def test_a_query_that_points_nowhere_is_refused(
        self, index: Index, generation: Generation, query: list[float]
    ) -> None:
        vector = np.array(query, dtype=np.float32)
        with pytest.raises(ValueError, match="vector of the query"):
            index.search(vector, generation=generation.name, limit=3)

    def test_a_limit_beyond_what_a_server_answers_at_once_works(
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
        ids=str,
    )
    def test_it_selects(self, filled: Filled, condition: object, expected: set[str]) -> None:
        assert found(*filled, condition) == expected

    def test_all_of_several_must_hold(self, filled: Filled) -> None:
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
    def test_one_without_meaning_is_refused(self, filled: Filled, condition: object) -> None:
        with pytest.raises(ValueError, match=r"number|name"):
            found(*filled, condition)

    def test_whole_numbers_beyond_doubles_are_told_apart(
        self, index: Index, generation: Generation
    ) -> None:
        index.upsert(
            [record("a", serial=2**53), record("b", serial=2**53 + 1)], generation=generation.name
        )
        assert found(index, generation, where("serial", "in", 2**53 + 1)) == {"b"}
        assert found(index, generation, where("serial", "in", 2**90)) == set()

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
        stored = [record(f"r{n}", **{name: 1}) for n, name in enumerate(names)]
        index.upsert(stored, generation=generation.name)
        for number, name in enumerate(names):
            assert found(index, generation, where(name, "in", 1)) == {f"r{number}"}
            assert found(index, generation, where(name, "gte", 1)) == {f"r{number}"}


class TestReconciling:
    def test_vectors_come_back_as_stored(self, index: Index, roomy: Generation) -> None:
        stored = records(1100)
        index.upsert(stored, generation=roomy.name)
        vectors = index.vectors([*(r.id for r in stored), "never"], generation=roomy.name)
        assert vectors.keys() == {r.id for r in stored}
        for rec in stored:
            assert vectors[rec.id].dtype == np.float32
            np.testing.assert_allclose(vectors[rec.id], rec.vector, atol=1e-6)

    def test_no_ids_are_no_vectors(self, index: Index, generation: Generation) -> None:
        assert index.vectors([], generation=generation.name) == {}

    def test_every_id_comes_once_over_several_pages(self, index: Index, roomy: Generation) -> None:
        stored = records(9000)
        index.upsert(stored, generation=roomy.name)
        ids = list(index.ids(generation=roomy.name))
        assert len(ids) == 9000
        assert set(ids) == {r.id for r in stored}

    def test_any_id_can_be_listed_read_and_deleted(
        self, index: Index, generation: Generation
    ) -> None:
        texts = [text for text in NASTY if text]
        index.upsert([record(text) for text in texts], generation=generation.name)
        assert set(index.ids(generation=generation.name)) == set(texts)
        for number, text in enumerate(texts, start=1):
            assert index.vectors([text], generation=generation.name).keys() == {text}
            index.delete([text], generation=generation.name)
            assert index.count(generation=generation.name) == len(texts) - number


class TestLiving:
    def test_a_closed_index_opens_again(self, index: Index, generation: Generation) -> None:
        index.upsert([record("a")], generation=generation.name)
        index.promote(generation.name)
        index.close()
        index.close()
        assert index.live() == generation
        assert found(index, generation) == {"a"}
        assert index.vectors(["a"], generation=generation.name).keys() == {"a"}

    def test_it_describes_itself_in_one_line(self, index: Index) -> None:
        assert "\n" not in index.describe()
        assert "collection" in index.describe()

    def test_a_reader_notices_no_promotion(self, index: Index) -> None:
        both = [index.create(fingerprint=f"reader {n}", dimension=4) for n in range(2)]
        for generation in both:
            index.upsert([record("a")], generation=generation.name)
        index.promote(both[0].name)
        answers: list[object] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                try:
                    live = index.live()
                    answers.append(live and found(index, live))
                except Exception as error:
                    answers.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        for turn in range(1, 21):
            index.promote(both[turn % 2].name)
        done.set()
        reader.join()
        assert answers
        assert [answer for answer in answers if answer != {"a"}] == []

    def test_closing_while_another_thread_searches_is_no_fault(
        self, index: Index, generation: Generation
    ) -> None:
        index.upsert([record("a")], generation=generation.name)
        answers: list[object] = []
        done = threading.Event()

        def search() -> None:
            while not done.is_set():
                try:
                    matches = index.search(AHEAD, generation=generation.name, limit=1)
                    answers.append([match.id for match in matches])
                except Exception as error:
                    answers.append(error)

        reader = threading.Thread(target=search)
        reader.start()
        for _ in range(10):
            index.close()
            assert index.count(generation=generation.name) == 1
        done.set()
        reader.join()
        assert answers
        assert [answer for answer in answers if answer != ["a"]] == []
