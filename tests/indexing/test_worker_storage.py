"""A storage that is away, and a single file that it cannot hand out."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from example_shop.models import ProductImage
from mmsearch_app.backends import get_index
from mmsearch_app.indexing.rebuild import RebuildBlocked, rebuild_index
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, State
from tests.indexing.rebuilding import live
from tests.shapes.models import Poster
from tests.shop import (
    Catalogue,
    Sell,
    add_picture,
    entry,
    held,
    make_due,
    picture_file,
    work,
)

pytestmark = pytest.mark.django_db


class MoodyStorage(FileSystemStorage):
    """Hands out nothing while it is `away`, and never what is called `broken`."""

    away = False
    broken = ""

    def _open(self, name: str, mode: str = "rb") -> Any:
        if self.away or name == self.broken:
            raise RuntimeError("500 Internal Server Error")
        return super()._open(name, mode)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, settings: Any) -> MoodyStorage:
    """The storage of the example shop's pictures."""
    made = MoodyStorage(location=settings.MEDIA_ROOT)
    monkeypatch.setattr(ProductImage._meta.get_field("original"), "storage", made)
    return made


def save_all() -> None:
    for image in ProductImage.objects.all():
        image.save()


@pytest.mark.parametrize("size", [1, 4, 32])
def test_however_long_the_storage_is_away_no_picture_gives_up(
    storage: MoodyStorage, shop: Catalogue, use: Any, size: int
) -> None:
    use(BATCH_SIZE=size)
    work()
    Entry.objects.update(generation="", content="")
    storage.away = True
    save_all()
    for _ in range(10):
        make_due()
        assert "The storage does not answer: RuntimeError: 500" in drain().problem
    assert set(Entry.objects.values_list("attempts", "state")) == {(0, State.PENDING)}
    storage.away = False
    make_due()
    assert work().indexed == 6


def test_one_broken_file_alone_in_its_batch_is_no_outage_and_gives_up(
    storage: MoodyStorage, shop: Catalogue, use: Any
) -> None:
    image = shop["red mug"].images.get()
    storage.broken = image.original.name
    image.save()
    for _ in range(8):
        make_due()
        assert work().failed == 1
    assert entry(image).state == State.FAILED


def test_a_broken_file_next_to_one_that_is_missing_is_no_outage(
    storage: MoodyStorage, sell: Sell
) -> None:
    product = sell(pictures=0)
    broken, missing = add_picture(product), add_picture(product, "blue")
    storage.broken = broken.original.name
    storage.delete(missing.original.name)
    assert work().failed == 1
    assert entry(broken).attempts == 1


def test_pictures_of_another_storage_are_indexed_during_the_outage(
    storage: MoodyStorage, sell: Sell
) -> None:
    sell()
    Poster.objects.create(name="sea", picture=picture_file())
    storage.away = True
    drained = drain()
    assert (drained.indexed, drained.failed) == (1, 0)
    assert "does not answer" in drained.problem


def test_a_rebuild_stops_at_once_and_visitors_keep_what_they_had(
    storage: MoodyStorage, shop: Catalogue
) -> None:
    before, keys = live(), held()
    storage.away = True
    with pytest.raises(RebuildBlocked, match="The storage does not answer"):
        rebuild_index()
    assert (live(), held()) == (before, keys)
    storage.away = False
    rebuild_index()
    assert live() != before
    assert held() == keys


def test_an_unchanged_picture_is_read_but_not_decoded(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all()
    monkeypatch.setattr("mmsearch_app.images.open_image", lambda *_, **__: pytest.fail("decoded"))
    assert work().indexed == 6


def test_a_picture_whose_vector_the_index_lost_is_decoded_again(shop: Catalogue) -> None:
    get_index().delete(held()[:2], generation=live())
    save_all()
    assert work().indexed == 6
    assert len(held()) == 6
