"""A rebuild fills a new generation next to the live one, without an effect on searches."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_shop.models import ProductImage
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexing import generations
from mmsearch_app.indexing.rebuild import Rebuilder, rebuild_index, request_rebuild
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.models import Entry, Rebuild, State
from mmsearch_app.searching.search import search
from tests.indexing.rebuilding import finish, live, names, titles
from tests.shop import IMAGES, Catalogue, Sell, entry, held, picture_file, work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def test_a_rebuild_moves_everything_to_a_new_generation(shop: Catalogue) -> None:
    before, keys = live(), held()
    row = rebuild_index()
    assert live() == row.generation != before
    assert held() == keys
    assert names() == [row.generation]
    assert not row.open
    assert row.finished_at is not None


def test_after_a_rebuild_nothing_is_due_and_reconcile_finds_nothing(shop: Catalogue) -> None:
    rebuild_index()
    assert str(work()).startswith("0 indexed, 0 removed")
    assert reconcile(deep=True) == Drift()


def test_a_rebuild_finds_rows_that_changed_without_a_signal(shop: Catalogue) -> None:
    image = ProductImage.objects.first()
    assert image is not None
    ProductImage.objects.bulk_create([ProductImage(product=image.product, original=image.original)])
    rebuild_index()
    assert len(held()) == 7


def test_the_first_rebuild_needs_no_drain_before_it(sell: Sell) -> None:
    sell(pictures=3)
    rebuild_index()
    assert len(held()) == 3
    work()
    assert set(Entry.objects.values_list("state", flat=True)) == {State.INDEXED}


def test_during_the_fill_searches_use_the_live_generation(shop: Catalogue) -> None:
    everything = titles()
    work = Rebuilder(request_rebuild())
    steps = 0
    while not work.step():
        steps += 1
        assert titles() == everything
    assert steps == 3
    assert titles() == everything


def test_a_save_during_the_fill_reaches_the_live_and_the_new_generation(
    shop: Catalogue, sell: Sell
) -> None:
    rebuilder = Rebuilder(request_rebuild())
    rebuilder.step()
    product = sell("green lamp")
    work()
    assert len(held()) == 7
    finish(rebuilder)
    assert f"{IMAGES}:{product.images.get().pk}" in held()
    assert len(held()) == 7


def test_a_change_of_a_filled_row_during_the_fill_reaches_the_new_generation(
    shop: Catalogue,
) -> None:
    rebuilder = Rebuilder(request_rebuild())
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
    rebuilder = Rebuilder(request_rebuild())
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


def test_a_pending_delete_is_done_after_the_switch(shop: Catalogue) -> None:
    rebuilder = Rebuilder(request_rebuild())
    rebuilder.step()
    shop["red mug"].images.get().delete()
    finish(rebuilder)
    work()
    assert len(held()) == 5


def test_progress_ends_at_the_total(shop: Catalogue) -> None:
    steps: list[tuple[int, int]] = []
    rebuild_index(progress=lambda done, total: steps.append((done, total)))
    assert steps == [(2, 6), (4, 6), (6, 6)]


def test_the_fill_uses_no_offset_and_reads_each_batch_once(shop: Catalogue) -> None:
    embedder: Any = get_embedder()
    before = embedder.documents
    with CaptureQueriesContext(connection) as queries:
        rebuild_index()
    assert not [query["sql"] for query in queries if "OFFSET" in query["sql"]]
    assert embedder.documents - before == 6


def test_the_command_says_what_it_did(shop: Catalogue, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("mmsearch_reindex")
    assert capsys.readouterr().out == (
        f"6 images indexed, 0 rows without an image, 0 not usable, 0 given up; live: {live()}\n"
    )


def test_the_command_can_leave_the_work_to_a_worker(shop: Catalogue) -> None:
    before = live()
    call_command("mmsearch_reindex", "--later")
    assert Rebuild.objects.get().open
    assert live() == before


def test_reindexing_one_source_embeds_only_its_images_again(shop: Catalogue) -> None:
    from tests.shapes.models import Poster

    embedder: Any = get_embedder()
    Poster.objects.create(name="sea", picture=picture_file())
    work()
    keys, before = held(), embedder.documents
    call_command("mmsearch_reindex", "shapes.poster")
    assert held() == keys
    assert embedder.documents - before == 1


def test_reindexing_an_unknown_source_names_the_known_ones() -> None:
    with pytest.raises(CommandError, match=r"No image source is called 'nope'.*productimage"):
        call_command("mmsearch_reindex", "nope")


def test_the_live_generation_is_created_on_first_use_only(sell: Sell) -> None:
    assert get_index().live() is None
    made = generations.ensure_live()
    assert generations.ensure_live() == made
    assert len(names()) == 1
