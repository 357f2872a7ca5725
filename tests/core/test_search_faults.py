"""A search without a good match, or with parts that are away or busy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mmsearch_app import search
from mmsearch_app.query import SearchUnavailable
from tests.core.conftest import Catalogue, EmbedderWithMoods, Sell, work
from tests.core.kit import ANY, work_again

pytestmark = pytest.mark.django_db


def test_a_bad_match_is_said_to_be_one(shop: Catalogue, use: Callable[..., None]) -> None:
    use(MIN_SCORE=0.5)
    work_again()
    assert search(ANY).no_good_match
    assert not search("red mug").no_good_match


def test_an_empty_shop_answers_with_nothing_and_no_good_match(sell: Sell) -> None:
    sell().delete()
    work()
    found = search("mug")
    assert (found.hits, found.no_good_match) == ((), True)


def test_a_shop_that_never_indexed_anything_says_so(db: None) -> None:
    with pytest.raises(SearchUnavailable, match="not built yet"):
        search("mug")


def test_an_index_that_is_away_is_no_detail_for_visitors(index: Any, shop: Catalogue) -> None:
    index.away = True
    with pytest.raises(SearchUnavailable) as caught:
        search("mug")
    assert "secret" not in str(caught.value)
    assert caught.value.retry_after > 0


def test_a_model_that_is_away_is_no_detail_for_visitors(
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
def test_a_model_that_breaks_its_contract_makes_no_answer_and_the_log_says_why(
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


def test_more_searches_than_places_are_told_to_wait(
    shop: Catalogue, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmsearch_app import searching

    monkeypatch.setattr(searching, "_QUEUE_SECONDS", 0.05)
    use(MAX_CONCURRENT_SEARCHES=3)
    work_again()
    inside, done = threading.Barrier(4), threading.Event()

    def occupy() -> None:
        with searching._place():
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


def test_a_search_that_fails_gives_its_place_back(
    shop: Catalogue, use: Callable[..., None], embedder: EmbedderWithMoods
) -> None:
    use(MAX_CONCURRENT_SEARCHES=1)
    for _ in range(3):
        with pytest.raises(SearchUnavailable, match="not built"):
            search("mug")
    work_again()
    assert search("mug").hits
