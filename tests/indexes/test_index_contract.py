"""The contract of indexes: generations and life cycle, on every engine."""

from __future__ import annotations

import threading

import pytest

from mmsearch_app.indexes.base import Generation, Index, IndexMissing
from mmsearch_app.indexes.records import name_generation
from tests.indexes.kit import AHEAD, found, record


def test_it_fulfils_the_protocol(index: Index) -> None:
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

    def test_generations_are_listed_oldest_first(self, fresh: Index) -> None:
        made = [fresh.create(fingerprint=f"model@{n}", dimension=4) for n in range(3)]
        assert fresh.generations() == made

    def test_the_promoted_generation_is_live(self, fresh: Index) -> None:
        old, new = (fresh.create(fingerprint="model@1", dimension=4) for _ in range(2))
        for generation in (old, new, new, old):
            fresh.promote(generation.name)
            assert fresh.live() == generation

    def test_the_live_generation_cannot_be_dropped(self, fresh: Index) -> None:
        generation = fresh.create(fingerprint="model@1", dimension=4)
        fresh.promote(generation.name)
        with pytest.raises(ValueError, match="is live"):
            fresh.drop(generation.name)
        assert fresh.live() == generation

    def test_dropping_a_generation_twice_is_no_error(self, fresh: Index) -> None:
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
            lambda index, name: index.stored(["a"], generation=name),
            lambda index, name: list(dict(index.contents(generation=name))),
            lambda index, name: index.count(generation=name),
        ],
        ids=["promote", "upsert", "delete", "search", "vectors", "ids", "count"],
    )
    def test_an_unknown_generation_is_missing(self, index: Index, use: object) -> None:
        with pytest.raises(IndexMissing):
            use(index, name_generation("product_images", "never"))  # type: ignore[operator]

    def test_records_of_two_generations_are_separate(
        self, index: Index, generation: Generation
    ) -> None:
        other = index.create(fingerprint="model@2", dimension=4)
        index.upsert([record("a")], generation=generation.name)
        counts = [index.count(generation=name) for name in (generation.name, other.name)]
        assert counts == [1, 0]


class TestLiving:
    def test_a_closed_index_opens_again(self, index: Index, generation: Generation) -> None:
        index.upsert([record("a")], generation=generation.name)
        index.promote(generation.name)
        index.close()
        index.close()
        assert index.live() == generation
        assert found(index, generation) == {"a"}
        assert index.stored(["a"], generation=generation.name).keys() == {"a"}

    def test_it_describes_itself_in_one_line(self, index: Index) -> None:
        assert "\n" not in index.describe()
        assert "collection" in index.describe()

    def test_a_promotion_does_not_disturb_readers(self, index: Index) -> None:
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

    def test_closing_while_another_thread_searches_is_safe(
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
