"""A rebuild that dies or is overtaken is completed, and nothing written meanwhile is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexing.rebuild import RebuildBlocked, Rebuilder, rebuild_index, request_rebuild
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, Rebuild
from mmsearch_app.searching.search import search
from tests.indexing.rebuilding import change_model, finish, live, titles
from tests.shop import Catalogue, EmbedderWithMoods, entry, held, make_due, work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def switch_once(embedder: EmbedderWithMoods, switch: Callable[[], object]) -> None:
    """Let a rebuild end while the worker embeds its next batch."""

    def act() -> None:
        embedder.before = None
        switch()

    embedder.before = act


def test_a_running_batch_whose_generation_is_dropped_goes_to_the_new_one(shop: Catalogue) -> None:
    embedder: Any = get_embedder()
    shop["red mug"].title = "zebra"
    shop["red mug"].save()
    switch_once(embedder, rebuild_index)
    work()
    assert search("zebra").hits[0].product == shop["red mug"]
    assert set(Entry.objects.values_list("generation", flat=True)) == {live()}
    assert reconcile(deep=True) == Drift()


def test_a_batch_that_the_old_model_wrote_after_the_switch_is_done_again(shop: Catalogue) -> None:
    old: Any = get_embedder()

    def switch() -> None:
        change_model()
        rebuild_index()
        change_model("testing-1")

    shop["red mug"].title = "zebra"
    shop["red mug"].save()
    switch_once(old, switch)
    drain()
    assert entry(shop["red mug"].images.get()).due_at is not None
    change_model()
    make_due()
    work()
    assert search("zebra").hits[0].product == shop["red mug"]
    assert reconcile(deep=True) == Drift()


def test_a_running_search_whose_generation_is_dropped_is_answered(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    index: Any = get_index()
    find = index.search

    def switch_and_find(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(index, "search", find)
        rebuild_index()
        return find(*args, **options)

    monkeypatch.setattr(index, "search", switch_and_find)
    assert len(titles()) == 6


def test_an_interrupted_rebuild_resumes(shop: Catalogue) -> None:
    embedder: Any = get_embedder()
    first = Rebuilder(request_rebuild())
    first.step()
    first.release()
    before = embedder.documents
    row = rebuild_index()
    assert row.pk == first.row.pk
    assert embedder.documents - before == 4
    assert len(held()) == 6


def test_a_rebuild_whose_process_was_killed_is_free_after_its_lease(shop: Catalogue) -> None:
    killed = Rebuilder(request_rebuild())
    killed.step()
    with pytest.raises(RebuildBlocked, match="Another process"):
        rebuild_index()
    Rebuild.objects.update(lease_until=timezone.now())
    rebuild_index()
    assert len(held()) == 6


def test_a_rebuild_that_died_between_the_switch_and_its_end_is_completed(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilder = die_after_the_switch(monkeypatch)
    assert live() == rebuilder.row.generation
    assert len(titles()) == 6
    rebuild_index()
    work()
    assert reconcile(deep=True) == Drift()
    assert set(Entry.objects.values_list("generation", flat=True)) == {live()}


def die_after_the_switch(monkeypatch: pytest.MonkeyPatch) -> Rebuilder:
    """Run a rebuild that stops after it has promoted its generation."""
    index = get_index()
    promote = index.promote

    def promote_and_die(name: str) -> None:
        promote(name)
        raise KeyboardInterrupt

    rebuilder = Rebuilder(request_rebuild())
    with monkeypatch.context() as patch:
        patch.setattr(index, "promote", promote_and_die)
        with pytest.raises(KeyboardInterrupt):
            finish(rebuilder)
    rebuilder.release()
    return rebuilder


def test_such_a_rebuild_is_completed_after_a_change_of_model_too(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_after_the_switch(monkeypatch)
    change_model()
    rebuild_index()
    assert len(titles()) == 6


def test_two_requests_make_one_rebuild() -> None:
    assert request_rebuild() == request_rebuild()
    assert Rebuild.objects.count() == 1
