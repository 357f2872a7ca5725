"""What nonsense reaches is measured, and hits no better than that are no good match."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import QuerySet

from example_shop.models import ProductImage
from mmsearch_app import search
from mmsearch_app.backends import get_index
from mmsearch_app.indexing import floors, measure_floors
from mmsearch_app.indexing.loop import WorkerLoop
from mmsearch_app.models import ScoreFloor
from mmsearch_app.searching import floor
from mmsearch_app.sources.registry import registry
from tests.shop import EmbedderWithMoods, Sell, add_picture, picture, work
from tests.shop_kit import titles, work_again

NONSENSE = "asdfgh qwerty zxcv"
COLOURS = ("red", "green", "blue")


@pytest.fixture
def catalogue(sell: Sell) -> None:
    """36 products, so that the catalogue is large enough to be measured."""
    for number in range(36):
        colour = COLOURS[number % 3]
        sell(f"{colour} mug number{number} model{number} of series{number}", colour=colour)
    work()


def test_a_reindex_measures_what_nonsense_reaches(catalogue: None) -> None:
    call_command("mmsearch_reindex", verbosity=0)
    measured = ScoreFloor.objects.get()
    live = get_index().live()
    assert live is not None
    assert (measured.generation, measured.images) == (live.name, 36)
    assert 0 < measured.words < 1


def test_a_rebuild_with_the_same_model_keeps_what_was_measured(
    catalogue: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_command("mmsearch_reindex", verbosity=0)
    before = ScoreFloor.objects.get()
    monkeypatch.setattr(floors, "_nonsense", lambda _: pytest.fail("measured again"))
    call_command("mmsearch_reindex", verbosity=0)
    live, after = get_index().live(), ScoreFloor.objects.get()
    assert live is not None
    assert (after.generation, after.words) == (live.name, before.words)
    assert after.generation != before.generation


def test_a_rebuild_with_another_model_measures_again(catalogue: None, use: Any) -> None:
    call_command("mmsearch_reindex", verbosity=0)
    before = ScoreFloor.objects.get()
    options = {"fingerprint": "testing-2"}
    use(EMBEDDER={"BACKEND": "mmsearch_app.testing.TestingEmbedder", "OPTIONS": options})
    call_command("mmsearch_reindex", verbosity=0)
    after = ScoreFloor.objects.order_by("measured_at").last()
    assert after is not None
    assert after.measured_at > before.measured_at


def test_nonsense_is_no_good_match_and_real_words_are(catalogue: None) -> None:
    assert not search(NONSENSE).no_good_match, "nothing was measured"
    assert measure_floors()
    floor._known.clear()
    assert search(NONSENSE).no_good_match
    assert not search("red mug number3 model3 of series3").no_good_match
    assert not search(image=picture("red", side=90)).no_good_match


def test_a_number_of_the_shop_s_own_replaces_what_was_measured(catalogue: None, use: Any) -> None:
    measure_floors()
    use(MIN_SCORE=0.0)
    call_command("mmsearch_reindex", verbosity=0)
    assert not search(NONSENSE).no_good_match


def test_a_small_catalogue_is_not_measured(shop: Any) -> None:
    assert measure_floors() is None
    assert not ScoreFloor.objects.exists()
    assert not search(NONSENSE).no_good_match


def test_an_idle_worker_measures_and_does_it_again_when_the_catalogue_has_grown(
    catalogue: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = WorkerLoop()
    monkeypatch.setitem(floors._looked_at, "next", 0.0)
    loop.turn()
    assert ScoreFloor.objects.get().images == 36
    image = ProductImage.objects.order_by("pk").first()
    assert image is not None
    for side in range(200, 240):
        add_picture(image.product, side=side)
    work()
    monkeypatch.setitem(floors._looked_at, "next", 0.0)
    loop.turn()
    assert ScoreFloor.objects.get().images == 76


def test_a_model_that_fails_leaves_the_floors_unmeasured(
    embedder: EmbedderWithMoods, catalogue: None, caplog: pytest.LogCaptureFixture
) -> None:
    embedder.down = True
    with caplog.at_level(logging.ERROR):
        assert measure_floors() is None
    assert "cannot be measured" in caplog.text


def test_a_model_that_cannot_tell_titles_from_nonsense_calls_nothing_wrong(
    catalogue: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsearch_app.indexing.floors._titles", lambda: [NONSENSE])
    assert measure_floors()
    floor._known.clear()
    assert not search("red mug number3 model3 of series3").no_good_match


class TestInstead:
    """What is shown if nothing fits, as the shop chooses."""

    @pytest.fixture(autouse=True)
    def _nothing_fits(self, shop: Any, use: Any) -> None:
        self.use = use

    def ask(self, choice: str, **query: Any) -> Any:
        self.use(MIN_SCORE=0.999, NO_GOOD_MATCH=choice)
        work_again()
        return search(**query)

    def test_by_default_the_closest(self) -> None:
        found = self.ask("closest", text="red zzz")
        assert (found.no_good_match, found.fallback) == (True, "")
        assert found.hits

    def test_nothing(self) -> None:
        found = self.ask("nothing", text="red zzz")
        assert (found.hits, found.more, found.fallback) == ((), False, "nothing")

    def test_popular_products_that_a_source_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def newest(rows: QuerySet[Any]) -> QuerySet[Any]:
            return rows.order_by("-pk")

        monkeypatch.setattr(registry.get("example_shop.productimage"), "get_popular", newest)
        found = self.ask("popular", text="red zzz", limit=2)
        assert found.fallback == "popular"
        assert titles(found) == ["blue shirt", "green shirt"]

    def test_the_closest_if_no_source_names_popular_products(self) -> None:
        found = self.ask("popular", text="red zzz")
        assert found.hits
        assert not found.fallback

    def test_a_source_whose_popular_products_fail_costs_only_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(rows: QuerySet[Any]) -> QuerySet[Any]:
            raise RuntimeError("no sales figures")

        monkeypatch.setattr(registry.get("example_shop.productimage"), "get_popular", broken)
        assert self.ask("popular", text="red zzz").hits


def test_the_half_that_fits_is_shown(shop: Any, use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def floor_of(query: Any, generation: Any) -> float:
        return 2.0 if query.text and query.image else -1.0

    monkeypatch.setattr(import_module("mmsearch_app.searching.search"), "floor_of", floor_of)
    use(NO_GOOD_MATCH="words")
    work_again()
    found = search("green shirt", image=picture("red", side=80))
    assert (found.fallback, found.no_good_match) == ("words", True)
    assert titles(found)[0] == "green shirt"
    use(NO_GOOD_MATCH="picture")
    work_again()
    found = search("green shirt", image=picture("red", side=80))
    assert found.fallback == "picture"
    assert titles(found)[0].startswith("red")
