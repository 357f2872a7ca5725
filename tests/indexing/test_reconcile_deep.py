"""Deep reconcile: reading files, and comparing with the contents of the index."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from example_shop.models import ProductImage
from mmsearch_app.backends import get_index
from mmsearch_app.indexing.compare import compare_index
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.models import Entry, State
from tests.shop import CountingEmbedder, Sell, add_picture, entry, held, picture, work
from tests.shop_kit import delete_raw

pytestmark = pytest.mark.django_db


def test_a_file_replaced_under_the_same_name_is_found_by_reading_files(
    sell: Sell, embedder: CountingEmbedder, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sell(pictures=2).images.all()[0]
    work()
    digest = entry(image).digest
    with open(image.original.path, "wb") as file:
        file.write(picture("blue"))
    assert reconcile() == Drift()
    call_command("mmsearch_reconcile", "--files")
    assert capsys.readouterr().out.startswith("2 differences")
    work()
    assert entry(image).digest != digest
    assert embedder.documents == 2 + 1


def test_a_deep_reconcile_finds_records_missing_from_the_index(sell: Sell) -> None:
    sell(pictures=3)
    work()
    live = get_index().live()
    assert live is not None
    get_index().delete(held()[:2], generation=live.name)
    assert reconcile() == Drift()
    assert reconcile(deep=True) == Drift(lost=2)
    work()
    assert len(held()) == 3
    assert reconcile(deep=True) == Drift()


def test_a_deep_reconcile_deletes_records_without_an_entry(sell: Sell) -> None:
    sell(pictures=3)
    work()
    Entry.objects.filter(object_pk=ProductImage.objects.all()[0].pk).delete()
    delete_raw(ProductImage.objects.all()[0].pk)
    assert reconcile(deep=True) == Drift(strays=1)
    assert len(held()) == 2


def test_a_deep_reconcile_finds_records_of_a_dropped_generation(sell: Sell) -> None:
    sell(pictures=2)
    work()
    Entry.objects.filter(pk=Entry.objects.earliest("pk").pk).update(generation="an-older-one")
    assert reconcile(deep=True) == Drift(lost=1)


def test_a_deep_reconcile_of_a_wiped_index_marks_everything(sell: Sell, settings: Any) -> None:
    sell(pictures=3)
    work()
    settings.MMSEARCH = {**settings.MMSEARCH}
    assert get_index().live() is None
    assert reconcile(deep=True) == Drift(lost=3)
    work()
    assert len(held()) == 3


def test_a_wiped_index_is_repaired_by_the_next_work(sell: Sell, settings: Any) -> None:
    product = sell(pictures=3)
    work()
    settings.MMSEARCH = {**settings.MMSEARCH}
    add_picture(product, "blue")
    work()
    assert len(held()) == 4


def test_a_deep_reconcile_reports_an_unavailable_index(sell: Sell, index: Any) -> None:
    sell()
    work()
    index.down = True
    with pytest.raises(CommandError, match="cannot be reached"):
        call_command("mmsearch_reconcile", "--deep")


def test_a_record_with_a_pending_delete_is_left_to_a_worker(sell: Sell) -> None:
    """A worker checks the row first, since another may be writing the record again."""
    sell(pictures=2)
    work()
    first = Entry.objects.earliest("pk")
    Entry.objects.filter(pk=first.pk).update(present=False, state=State.REMOVED)
    assert reconcile(deep=True) == Drift(changed=1)
    Entry.objects.filter(pk=first.pk).update(present=False, state=State.REMOVED, due_at=None)
    assert compare_index() == (0, 1)
    assert len(held()) == 2
    work()
    assert len(held()) == 2
    assert reconcile(deep=True) == Drift()


def test_many_images_are_compared_page_by_page(sell: Sell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("mmsearch_app.indexing.compare"), "_PAGE", 2)
    sell(pictures=7)
    work()
    live = get_index().live()
    assert live is not None
    get_index().delete([held()[0], held()[3], held()[6]], generation=live.name)
    Entry.objects.filter(object_pk=held()[0].partition(":")[2]).delete()
    assert compare_index() == (3, 1)
