"""Searches without a good match, or with parts that are unavailable or busy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch_app import Query, backends, search
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes.base import Record
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.indexes.milvus import MilvusIndex
from mmsearch_app.indexing.rebuild import rebuild_index
from mmsearch_app.searching.query import SearchUnavailable
from tests.shop import Catalogue, EmbedderWithMoods, Sell, entry, work
from tests.shop_kit import ANY, titles, work_again

pytestmark = pytest.mark.django_db


def test_a_bad_match_is_reported(shop: Catalogue, use: Callable[..., None]) -> None:
    use(MIN_SCORE=0.5)
    work_again()
    assert search(ANY).no_good_match
    assert not search("red mug").no_good_match


def test_an_empty_shop_has_no_hits_and_no_good_match(sell: Sell) -> None:
    sell().delete()
    work()
    found = search("mug")
    assert (found.hits, found.no_good_match) == ((), True)


def test_a_shop_without_an_index_reports_it(db: None) -> None:
    with pytest.raises(SearchUnavailable, match="still being set up"):
        search("mug")


def test_an_unavailable_index_shows_visitors_no_details(index: Any, shop: Catalogue) -> None:
    index.down = True
    with pytest.raises(SearchUnavailable) as caught:
        search("mug")
    assert "secret" not in str(caught.value)
    assert caught.value.retry_after > 0


def test_an_unavailable_model_shows_visitors_no_details(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    embedder.down = True
    with pytest.raises(SearchUnavailable) as caught:
        search("mug")
    assert "10.1.2.3" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("shape", "EmbedderWithMoods returned an array of shape (1, 255), not (1, 256)."),
        ("nan", "EmbedderWithMoods returned numbers that are not finite."),
        ("nothing", "returned 0 vectors for 1 queries"),
    ],
)
def test_a_model_that_breaks_its_contract_gives_an_error_and_a_log_entry(
    embedder: EmbedderWithMoods,
    shop: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    told: str,
) -> None:
    def spoil(contents: Any) -> Any:
        whole = embedder.embed_documents(contents)
        return {"shape": whole[:, :-1], "nan": whole * np.nan, "nothing": whole[:0]}[fault]

    monkeypatch.setattr(embedder, "embed_queries", spoil)
    with pytest.raises(SearchUnavailable):
        search("mug")
    assert told in caplog.text


def test_more_searches_than_slots_are_told_to_retry_later(
    shop: Catalogue, use: Callable[..., None]
) -> None:
    module = import_module("mmsearch_app.searching.search")
    use(MAX_CONCURRENT_SEARCHES=3, MAX_WAIT_SECONDS=0.05)
    work_again()
    inside, done = threading.Barrier(4), threading.Event()

    def occupy() -> None:
        with module._place(Query(text="mug")):
            inside.wait(120)
            done.wait(120)

    threads = [threading.Thread(target=occupy) for _ in range(3)]
    for thread in threads:
        thread.start()
    inside.wait(120)
    try:
        with pytest.raises(SearchUnavailable, match="Too many searches"):
            search("mug")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert search("mug").hits


def test_a_search_that_fails_frees_its_slot(
    shop: Catalogue, use: Callable[..., None], embedder: EmbedderWithMoods
) -> None:
    use(MAX_CONCURRENT_SEARCHES=1)
    for _ in range(3):
        with pytest.raises(SearchUnavailable, match="still being set up"):
            search("mug")
    work_again()
    assert search("mug").hits


def test_a_collection_that_is_dropped_during_a_search_leaves_no_empty_answer(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Milvus server returns nothing then, and no error."""
    found = MemoryIndex.search

    def drop_meanwhile(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(MemoryIndex, "search", found)
        rebuild_index()
        return []

    monkeypatch.setattr(MemoryIndex, "search", drop_meanwhile)
    assert len(search("mug").hits) == len(shop)


def test_a_collection_that_was_just_created_for_a_rebuild_is_not_searched(
    shop: Catalogue, use: Any
) -> None:
    """The rebuild has not noted its name yet: it is empty."""
    index = get_index()
    embedder = {"BACKEND": "mmsearch_app.testing.TestingEmbedder", "OPTIONS": {"fingerprint": "b"}}
    use(EMBEDDER=embedder)
    backends._built |= {"INDEX": index, "SETTINGS": get_settings()}
    get_index().create(fingerprint="b", dimension=get_embedder().dimension)
    with pytest.raises(SearchUnavailable):
        search("red mug")


def test_a_generation_that_another_process_replaced_and_dropped_is_left_at_once(
    use: Callable[..., None], shop: Catalogue, tmp_path: Path
) -> None:
    uri = str(tmp_path / "index.db")
    use(INDEX={"BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex", "OPTIONS": {"uri": uri}})
    work_again()
    assert len(search("mug").hits) == 6
    other = MilvusIndex(uri=uri)
    old = other.live()
    assert old is not None
    new = other.create(fingerprint=old.fingerprint, dimension=old.dimension).name
    mug = shop["red mug"]
    key = entry(mug.images.get()).key
    kept = Record(
        id=key,
        product=f"example_shop.product:{mug.pk}",
        source="example_shop.productimage",
        vector=other.stored([key], generation=old.name)[key].vector,
    )
    other.upsert([kept], generation=new)
    other.promote(new)
    other.drop(old.name)
    assert titles(search("mug")) == ["red mug"]
    other.close()
