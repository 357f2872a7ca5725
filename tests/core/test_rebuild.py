"""A rebuild fills a new generation beside the live one; visitors never notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example_shop.models import Product, ProductImage
from mmsearch_app import reindex
from mmsearch_app.conf import get_embedder, get_index
from mmsearch_app.models import Entry, Rebuild, State
from mmsearch_app.query import SearchUnavailable
from mmsearch_app.reconcile import Drift, reconcile
from mmsearch_app.reindex import RebuildBlocked, Rebuilder, rebuild, request
from mmsearch_app.searching import search
from mmsearch_app.worker import drain
from tests.core.conftest import (
    IMAGES,
    EmbedderWithMoods,
    Sell,
    add_picture,
    entry,
    held,
    make_due,
    picture_file,
    work,
)

pytestmark = pytest.mark.django_db

Catalogue = dict[str, Product]
MODEL = "tests.core.conftest.EmbedderWithMoods"


@pytest.fixture(autouse=True)
def _small_batches(use: Callable[..., None]) -> None:
    use(BATCH_SIZE=2, EMBEDDER={"BACKEND": MODEL})


def live() -> str:
    found = get_index().live()
    assert found is not None
    return found.name


def names() -> list[str]:
    return [generation.name for generation in get_index().generations()]


def titles() -> set[str]:
    return {hit.title for hit in search("mug", limit=100).hits}


def change_model(fingerprint: str = "testing-2") -> None:
    """As a deployment does: the index stays, the embedder is another one."""
    from mmsearch_app import conf

    conf._built["EMBEDDER"] = EmbedderWithMoods(fingerprint=fingerprint)


def finish(work: Rebuilder) -> None:
    while not work.step():
        pass


def test_a_rebuild_moves_everything_to_a_new_generation(shop: Catalogue) -> None:
    before, keys = live(), held()
    row = rebuild()
    assert live() == row.generation != before
    assert held() == keys
    assert names() == [row.generation]
    assert not row.open
    assert row.finished_at is not None


def test_after_a_rebuild_nothing_waits_and_nothing_differs(shop: Catalogue) -> None:
    rebuild()
    assert str(work()).startswith("0 indexed, 0 removed")
    assert reconcile(deep=True) == Drift()


def test_a_rebuild_finds_rows_that_no_signal_told(shop: Catalogue) -> None:
    image = ProductImage.objects.first()
    assert image is not None
    ProductImage.objects.bulk_create([ProductImage(product=image.product, original=image.original)])
    rebuild()
    assert len(held()) == 7


def test_the_first_rebuild_needs_no_drain_before_it(sell: Sell) -> None:
    sell(pictures=3)
    rebuild()
    assert len(held()) == 3
    work()
    assert set(Entry.objects.values_list("state", flat=True)) == {State.INDEXED}


def test_during_the_fill_visitors_get_all_from_the_live_generation(shop: Catalogue) -> None:
    everything = titles()
    work = Rebuilder(request())
    steps = 0
    while not work.step():
        steps += 1
        assert titles() == everything
    assert steps == 3
    assert titles() == everything


def test_a_save_during_the_fill_reaches_the_live_and_the_new_generation(
    shop: Catalogue, sell: Sell
) -> None:
    rebuilder = Rebuilder(request())
    rebuilder.step()
    product = sell("green lamp")
    work()
    assert len(held()) == 7
    finish(rebuilder)
    assert f"{IMAGES}:{product.images.get().pk}" in held()
    assert len(held()) == 7


def test_a_change_during_the_fill_of_what_was_filled_already_reaches_the_new_generation(
    shop: Catalogue,
) -> None:
    rebuilder = Rebuilder(request())
    rebuilder.step()
    first = shop["red mug"]
    first.title = "zebra"
    first.save()
    work()
    finish(rebuilder)
    work()
    assert search("zebra").hits[0].product == first
    assert search("zebra").hits[0].score > 0.5


def test_a_delete_during_the_fill_reaches_the_new_generation(shop: Catalogue) -> None:
    rebuilder = Rebuilder(request())
    rebuilder.step()
    image = shop["red mug"].images.get()
    key = entry(image).key
    image.delete()
    work()
    finish(rebuilder)
    assert key not in held()
    assert len(held()) == 5
    work()
    assert reconcile(deep=True) == Drift()


def test_a_delete_that_no_worker_saw_yet_is_done_after_the_switch(shop: Catalogue) -> None:
    rebuilder = Rebuilder(request())
    rebuilder.step()
    shop["red mug"].images.get().delete()
    finish(rebuilder)
    work()
    assert len(held()) == 5


def switch_once(embedder: EmbedderWithMoods, switch: Callable[[], object]) -> None:
    """Have a rebuild end while the worker embeds its next batch."""

    def act() -> None:
        embedder.before = None
        switch()

    embedder.before = act


def test_a_batch_at_work_when_its_generation_is_dropped_goes_to_the_new_one(
    shop: Catalogue,
) -> None:
    embedder: Any = get_embedder()
    shop["red mug"].title = "zebra"
    shop["red mug"].save()
    switch_once(embedder, rebuild)
    work()
    assert search("zebra").hits[0].product == shop["red mug"]
    assert set(Entry.objects.values_list("generation", flat=True)) == {live()}
    assert reconcile(deep=True) == Drift()


def test_what_a_worker_of_the_old_model_wrote_behind_the_switch_is_done_again(
    shop: Catalogue,
) -> None:
    old: Any = get_embedder()

    def switch() -> None:
        change_model()
        rebuild()
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


def test_a_search_at_work_when_its_generation_is_dropped_is_answered(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    index: Any = get_index()
    find = index.search

    def switch_and_find(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(index, "search", find)
        rebuild()
        return find(*args, **options)

    monkeypatch.setattr(index, "search", switch_and_find)
    assert len(titles()) == 6


def test_an_interrupted_rebuild_goes_on_where_it_stopped(shop: Catalogue) -> None:
    embedder: Any = get_embedder()
    first = Rebuilder(request())
    first.step()
    first.release()
    before = embedder.documents
    row = rebuild()
    assert row.pk == first.row.pk
    assert embedder.documents - before == 4
    assert len(held()) == 6


def test_a_rebuild_whose_process_was_killed_is_free_after_its_lease(shop: Catalogue) -> None:
    killed = Rebuilder(request())
    killed.step()
    with pytest.raises(RebuildBlocked, match="Another process"):
        rebuild()
    Rebuild.objects.update(lease_until=timezone.now())
    rebuild()
    assert len(held()) == 6


def test_a_rebuild_that_died_between_the_switch_and_its_end_is_completed(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilder = Rebuilder(request())
    with monkeypatch.context() as patch:
        patch.setattr(get_index(), "promote", promote_and_die(get_index()))
        with pytest.raises(KeyboardInterrupt):
            finish(rebuilder)
    rebuilder.release()
    assert live() == rebuilder.row.generation
    assert len(titles()) == 6
    rebuild()
    work()
    assert reconcile(deep=True) == Drift()
    assert set(Entry.objects.values_list("generation", flat=True)) == {live()}


def promote_and_die(index: Any) -> Callable[[str], None]:
    promote = index.promote

    def act(name: str) -> None:
        promote(name)
        raise KeyboardInterrupt

    return act


def test_such_a_rebuild_is_completed_after_a_change_of_model_as_well(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilder = Rebuilder(request())
    with monkeypatch.context() as patch:
        patch.setattr(get_index(), "promote", promote_and_die(get_index()))
        with pytest.raises(KeyboardInterrupt):
            finish(rebuilder)
    rebuilder.release()
    change_model()
    rebuild()
    assert len(titles()) == 6


def test_asking_twice_is_one_rebuild() -> None:
    assert request() == request()
    assert Rebuild.objects.count() == 1


def test_progress_ends_at_the_total(shop: Catalogue) -> None:
    steps: list[tuple[int, int]] = []
    rebuild(progress=lambda done, total: steps.append((done, total)))
    assert steps == [(2, 6), (4, 6), (6, 6)]


def test_the_fill_reads_no_row_by_offset_and_no_batch_twice(shop: Catalogue) -> None:
    embedder: Any = get_embedder()
    before = embedder.documents
    with CaptureQueriesContext(connection) as queries:
        rebuild()
    assert not [query["sql"] for query in queries if "OFFSET" in query["sql"]]
    assert embedder.documents - before == 6


def test_with_another_model_the_worker_waits_for_a_rebuild(shop: Catalogue, sell: Sell) -> None:
    change_model()
    image = sell("green lamp").images.get()
    drained = drain()
    assert "mmsearch_reindex" in drained.problem
    assert entry(image).attempts == 0
    rebuild()
    assert f"{IMAGES}:{image.pk}" in held()


def test_with_another_model_every_picture_is_embedded_anew(shop: Catalogue) -> None:
    change_model()
    rebuild()
    embedder: Any = get_embedder()
    assert embedder.documents == 6
    found = get_index().live()
    assert found is not None
    assert found.fingerprint == "testing-2"


def test_a_process_of_the_new_model_does_not_search_the_old_generation(shop: Catalogue) -> None:
    change_model()
    with pytest.raises(SearchUnavailable, match="not built yet"):
        search("mug")


def test_a_process_of_the_new_model_does_not_search_what_is_only_half_filled(
    shop: Catalogue,
) -> None:
    change_model()
    rebuilder = Rebuilder(request())
    rebuilder.step()
    with pytest.raises(SearchUnavailable):
        search("mug")
    finish(rebuilder)
    assert len(titles()) == 6


def test_a_process_of_the_old_model_searches_on_after_the_switch(shop: Catalogue) -> None:
    old = live()
    change_model()
    rebuild()
    assert live() != old
    change_model("testing-1")
    assert len(titles()) == 6


def test_the_generation_of_the_model_before_is_dropped_by_the_rebuild_after_next(
    shop: Catalogue,
) -> None:
    old = live()
    for version in (2, 3):
        change_model(f"testing-{version}")
        rebuild()
    assert old not in names()
    assert len(names()) == 2


def test_a_model_changed_twice_during_a_rebuild_starts_the_fill_anew(shop: Catalogue) -> None:
    change_model("testing-2")
    half = Rebuilder(request())
    half.step()
    half.release()
    change_model("testing-3")
    row = rebuild()
    assert half.row.generation not in names()
    assert row.fingerprint == "testing-3"
    assert len(held()) == 6


def blocked_reading(key: Any) -> Any:
    def get_file(source: Any, row: Any) -> Any:
        if row.pk == key:
            raise ConnectionError("503 Slow Down")
        return row.original

    return get_file


@pytest.fixture
def unreadable(shop: Catalogue, monkeypatch: pytest.MonkeyPatch) -> ProductImage:
    """A picture that the storage does not hand out at the moment."""
    image = shop["red mug"].images.get()
    monkeypatch.setattr("example_shop.mmsearch.ProductImages.get_file", blocked_reading(image.pk))
    return image


def test_a_storage_that_fails_blocks_the_switch_and_visitors_keep_what_they_had(
    unreadable: ProductImage,
) -> None:
    before, keys = live(), held()
    with pytest.raises(RebuildBlocked, match=r"1 pictures cannot be read now.*Slow Down"):
        rebuild()
    assert live() == before
    assert held() == keys
    assert "Slow Down" in Rebuild.objects.get().error


def test_a_blocked_rebuild_is_completed_when_the_storage_is_back(
    unreadable: ProductImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder: Any = get_embedder()
    with pytest.raises(RebuildBlocked):
        rebuild()
    monkeypatch.undo()
    before = embedder.documents
    rebuild()
    assert embedder.documents - before == 1
    assert len(held()) == 6


def test_a_tolerant_rebuild_switches_and_keeps_what_is_missing_due(
    unreadable: ProductImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(tolerant=True)
    assert len(held()) == 5
    assert entry(unreadable).due_at is not None
    monkeypatch.undo()
    work()
    assert len(held()) == 6


def test_a_picture_that_gave_up_before_does_not_block_the_switch(
    shop: Catalogue, use: Callable[..., None]
) -> None:
    use(MAX_ATTEMPTS=1)
    rebuild()
    image = add_picture(shop["red mug"], "black")
    work()
    assert entry(image).state == State.FAILED
    rebuild()
    assert len(held()) == 6


def test_a_value_that_the_index_refuses_is_reported_and_not_a_crash(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_filters(source: Any, row: Any) -> Any:
        return {"price": [float("inf")] if row.product == shop["red mug"] else [1.0]}

    monkeypatch.setattr("example_shop.mmsearch.ProductImages.get_filters", get_filters)
    with pytest.raises(RebuildBlocked, match="no value to filter on"):
        rebuild()


def test_a_rebuild_without_a_working_model_says_so(shop: Catalogue) -> None:
    embedder: Any = get_embedder()
    embedder.down = True
    before = held()
    with pytest.raises(CommandError, match="does not work"):
        call_command("mmsearch_reindex")
    assert held() == before
    embedder.down = False
    call_command("mmsearch_reindex")


def test_the_command_says_what_it_did(shop: Catalogue, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("mmsearch_reindex")
    assert capsys.readouterr().out == (
        f"6 pictures indexed, 0 without a picture, 0 not usable, 0 gave up; live: {live()}\n"
    )


def test_the_command_can_leave_the_work_to_a_worker(shop: Catalogue) -> None:
    before = live()
    call_command("mmsearch_reindex", "--later")
    assert Rebuild.objects.get().open
    assert live() == before


def test_the_command_can_be_tolerant(unreadable: ProductImage) -> None:
    with pytest.raises(CommandError):
        call_command("mmsearch_reindex")
    call_command("mmsearch_reindex", "--tolerant")
    assert len(held()) == 5


def test_reindexing_one_source_embeds_its_pictures_anew_and_leaves_the_others(
    shop: Catalogue,
) -> None:
    from tests.shapes.models import Poster

    embedder: Any = get_embedder()
    Poster.objects.create(name="sea", picture=picture_file())
    work()
    keys, before = held(), embedder.documents
    call_command("mmsearch_reindex", "shapes.poster")
    assert held() == keys
    assert embedder.documents - before == 1


def test_reindexing_an_unknown_source_names_the_right_ones() -> None:
    with pytest.raises(CommandError, match=r"No image source is called 'nope'.*productimage"):
        call_command("mmsearch_reindex", "nope")


def test_the_live_generation_is_made_at_the_first_use_only(sell: Sell) -> None:
    assert get_index().live() is None
    made = reindex.ensure_live()
    assert reindex.ensure_live() == made
    assert len(names()) == 1
