"""The first rebuild of a shop reads and embeds each image once, and believes no more than that."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from mmsearch_app import images
from mmsearch_app.backends import get_embedder
from mmsearch_app.indexing.rebuild import Rebuilder, request_rebuild
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.models import Entry, Rebuild, State
from mmsearch_app.searching.search import search
from tests.indexing.rebuilding import change_model, finish, live
from tests.shop import EmbedderWithMoods, Sell, held, work
from tests.shop_kit import due

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def embedder() -> EmbedderWithMoods:
    found = get_embedder()
    assert isinstance(found, EmbedderWithMoods)
    return found


def test_a_first_reindex_embeds_and_reads_each_image_once(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sell(pictures=5)
    read: list[Any] = []
    read_bytes = images.read_bytes

    def read_and_count(file: Any, **options: Any) -> bytes:
        read.append(file.name)
        return read_bytes(file, **options)

    monkeypatch.setattr(images, "read_bytes", read_and_count)
    call_command("mmsearch_reindex")
    assert "5 images indexed" in capsys.readouterr().out
    assert embedder().documents == 5
    assert sorted(read) == sorted(set(read))
    assert due() == set()
    assert reconcile(deep=True) == Drift()
    assert work().indexed == 0


def test_a_save_during_the_first_fill_is_not_taken_for_what_was_filled(sell: Sell) -> None:
    product = sell("red mug", pictures=2)
    rebuilder = Rebuilder(request_rebuild())
    rebuilder.step()
    product.title = "zebra"
    product.save()
    finish(rebuilder)
    work()
    assert search("zebra").hits[0].score > 0.5
    assert reconcile(deep=True) == Drift()


def test_a_first_rebuild_that_died_continues_and_embeds_each_image_once(sell: Sell) -> None:
    sell(pictures=6)
    first = Rebuilder(request_rebuild())
    first.step()
    first.step()
    first.release()
    call_command("mmsearch_reindex")
    assert embedder().documents == 6
    assert len(held()) == 6


def test_a_worker_beside_the_first_rebuild_records_what_it_wrote_itself(sell: Sell) -> None:
    sell(pictures=4)
    rebuilder = Rebuilder(request_rebuild())
    rebuilder.step()
    work()
    before = live()
    assert set(Entry.objects.values_list("generation", flat=True)) == {before}
    finish(rebuilder)
    assert live() != before
    assert work().indexed == 0
    assert reconcile(deep=True) == Drift()


def test_what_an_abandoned_generation_contained_is_not_believed(sell: Sell) -> None:
    """The model is changed after half of the fill: the generation is dropped."""
    sell(pictures=4)
    Rebuilder(request_rebuild()).step()
    assert Entry.objects.exclude(content="").count() == 2
    change_model()
    Rebuild.objects.update(lease_until=None)
    rebuilder = Rebuilder(request_rebuild())
    rebuilder._lease()
    rebuilder._begin()
    assert Entry.objects.exclude(content="").count() == 0
    finish(rebuilder)
    assert embedder().documents == 4
    assert reconcile(deep=True) == Drift()


def test_a_rebuild_beside_waiting_entries_embeds_them_once(sell: Sell) -> None:
    """No worker ran while they were saved; only their prices changed."""
    product = sell(pictures=3)
    work()
    product.price = 99
    product.save()
    before = embedder().documents
    call_command("mmsearch_reindex")
    assert embedder().documents - before == 3
    assert due() == set()
    assert set(Entry.objects.values_list("state", flat=True)) == {State.INDEXED}
