"""A new model: which process searches which generation before, during and after a rebuild."""

from __future__ import annotations

from typing import Any

import pytest

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexing.rebuild import Rebuilder, rebuild_index, request_rebuild
from mmsearch_app.indexing.worker import drain
from mmsearch_app.searching.query import SearchUnavailable
from mmsearch_app.searching.search import search
from tests.indexing.rebuilding import change_model, finish, live, names, titles
from tests.shop import IMAGES, Catalogue, Sell, entry, held

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def test_with_another_model_the_worker_waits_for_a_rebuild(shop: Catalogue, sell: Sell) -> None:
    change_model()
    image = sell("green lamp").images.get()
    drained = drain()
    assert "mmsearch_reindex" in drained.problem
    assert entry(image).attempts == 0
    rebuild_index()
    assert f"{IMAGES}:{image.pk}" in held()


def test_with_another_model_every_image_is_embedded_again(shop: Catalogue) -> None:
    change_model()
    rebuild_index()
    embedder: Any = get_embedder()
    assert embedder.documents == 6
    found = get_index().live()
    assert found is not None
    assert found.fingerprint == "testing-2"


def test_a_process_of_the_new_model_does_not_search_the_old_generation(shop: Catalogue) -> None:
    change_model()
    with pytest.raises(SearchUnavailable, match="not built yet"):
        search("mug")


def test_a_process_of_the_new_model_does_not_search_a_half_filled_generation(
    shop: Catalogue,
) -> None:
    change_model()
    rebuilder = Rebuilder(request_rebuild())
    rebuilder.step()
    with pytest.raises(SearchUnavailable):
        search("mug")
    finish(rebuilder)
    assert len(titles()) == 6


def test_a_process_of_the_old_model_still_searches_after_the_switch(shop: Catalogue) -> None:
    old = live()
    change_model()
    rebuild_index()
    assert live() != old
    change_model("testing-1")
    assert len(titles()) == 6


def test_the_previous_models_generation_is_dropped_by_the_rebuild_after_next(
    shop: Catalogue,
) -> None:
    old = live()
    for version in (2, 3):
        change_model(f"testing-{version}")
        rebuild_index()
    assert old not in names()
    assert len(names()) == 2


def test_a_model_changed_twice_during_a_rebuild_restarts_the_fill(shop: Catalogue) -> None:
    change_model("testing-2")
    half = Rebuilder(request_rebuild())
    half.step()
    half.release()
    change_model("testing-3")
    row = rebuild_index()
    assert half.row.generation not in names()
    assert row.fingerprint == "testing-3"
    assert len(held()) == 6
