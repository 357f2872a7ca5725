"""Searches know the live generation without a call each, and never for longer than a second."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.indexes.milvus import MilvusIndex, generations
from tests.forking import works_in_child
from tests.indexes.kit import AHEAD, record, unit


@pytest.fixture
def index(tmp_path: Path) -> Iterator[MilvusIndex]:
    index = MilvusIndex(uri=tmp_path / "shop.db")
    yield index
    index.close()


@pytest.fixture
def other(tmp_path: Path, index: MilvusIndex) -> Iterator[MilvusIndex]:
    """Another user of the same index, as in another process."""
    other = MilvusIndex(uri=tmp_path / "shop.db")
    yield other
    other.close()


@pytest.fixture
def calls(index: MilvusIndex, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of Milvus that `index` calls from now on."""
    made: list[str] = []
    call = index._connection.call

    def note(method: str, *args: Any, **options: Any) -> Any:
        made.append(method)
        return call(method, *args, **options)

    monkeypatch.setattr(index._connection, "call", note)
    return made


def promoted(index: MilvusIndex, fingerprint: str) -> str:
    name = index.create(fingerprint=fingerprint, dimension=4).name
    index.promote(name)
    return name


def test_milvus_is_asked_once_within_a_second(index: MilvusIndex, calls: list[str]) -> None:
    name = promoted(index, "one")
    calls.clear()
    for _ in range(3):
        live = index.recently_live()
        assert live is not None
        assert live.name == name
    assert calls == ["describe_alias"]


def test_live_itself_always_asks(index: MilvusIndex, calls: list[str]) -> None:
    promoted(index, "one")
    calls.clear()
    assert index.live() == index.live() == index.recently_live()
    assert calls == ["describe_alias"] * 2


def test_an_index_without_a_live_generation_is_asked_again(index: MilvusIndex) -> None:
    assert index.recently_live() is None
    name = promoted(index, "one")
    assert index.recently_live() == index._generations.find(name)


def test_a_promotion_in_this_process_counts_at_once(index: MilvusIndex) -> None:
    for fingerprint in ("one", "two"):
        name = promoted(index, fingerprint)
        live = index.recently_live()
        assert live is not None
        assert live.name == name


def test_an_answer_from_before_a_promotion_does_not_count(index: MilvusIndex) -> None:
    """As when a thread asked, and another promoted before the first one kept the answer."""
    promoted(index, "one")
    mark, old = index._generations.recent.mark, index.live()
    name = promoted(index, "two")
    index._generations.recent.keep(old, mark=mark)
    live = index.recently_live()
    assert live is not None
    assert live.name == name


def test_a_promotion_in_another_process_counts_after_a_second(
    index: MilvusIndex, other: MilvusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = promoted(index, "one")
    now = 1000.0
    monkeypatch.setattr(generations.time, "monotonic", lambda: now)
    assert index.recently_live()
    new = promoted(other, "two")
    now += 0.9
    assert (live := index.recently_live()) is not None
    assert live.name == old
    now += 0.2
    assert (live := index.recently_live()) is not None
    assert live.name == new


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_asks_for_itself(index: MilvusIndex) -> None:
    promoted(index, "one")
    assert index.recently_live()
    recent = index._generations.recent
    assert recent.find() is not None
    assert works_in_child(lambda: recent.find() is None)


def test_only_an_index_that_others_use_lags() -> None:
    assert MilvusIndex(uri="shop.db").live_lag == 0
    assert MilvusIndex(uri="http://127.0.0.1:1").live_lag == generations.RECENT


def test_few_images_are_asked_for_once_products_have_few(index: MilvusIndex) -> None:
    name = index.create(fingerprint="model", dimension=4).name
    index.upsert([record(f"p{n}", unit(1, n / 9, 0, 0)) for n in range(40)], generation=name)
    for _ in range(12):
        assert len(index.search(AHEAD, generation=name, limit=10)) == 10
    assert index._spare < 2
    crowd = [record(f"c{n}", AHEAD, product="crowded") for n in range(60)]
    index.upsert(crowd, generation=name)
    found = [match.product for match in index.search(AHEAD, generation=name, limit=5)]
    assert sorted(found[:2]) == ["crowded", "p0"]
    assert found[2:] == ["p1", "p2", "p3"]


def test_a_search_waits_for_no_writes_to_read_a_vector(
    index: MilvusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with its usual settings takes 200 ms to answer with Strong, 5 with Bounded."""
    name = promoted(index, "one")
    index.upsert([record("a")], generation=name)
    levels: list[str] = []
    call = index._connection.call

    def note(method: str, *args: Any, **options: Any) -> Any:
        levels.append(options["consistency_level"])
        return call(method, *args, **options)

    monkeypatch.setattr(index._connection, "call", note)
    assert index.stored(["a"], generation=name).keys() == {"a"}
    assert index.recently_stored(["a"], generation=name).keys() == {"a"}
    assert levels == ["Strong", "Bounded"]
