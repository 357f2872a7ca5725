"""A storage that is down, and single files that it cannot read."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from example_shop.models import ProductImage
from mmsearch_app.backends import get_index
from mmsearch_app.indexing.rebuild import RebuildBlocked, rebuild_index
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import registry
from tests.indexing.rebuilding import live
from tests.shapes.models import Poster
from tests.shop import (
    IMAGES,
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
    """Reads no file while it is `down`, and never the file named `broken`."""

    down = False
    broken = ""

    def open(self, name: str, mode: str = "rb") -> Any:
        if self.down or name == self.broken:
            raise RuntimeError("500 Internal Server Error")
        return super().open(name, mode)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, settings: Any) -> MoodyStorage:
    """The storage of the example shop's images."""
    made = MoodyStorage(location=settings.MEDIA_ROOT)
    monkeypatch.setattr(ProductImage._meta.get_field("original"), "storage", made)
    return made


def save_all() -> None:
    for image in ProductImage.objects.all():
        image.save()


@pytest.mark.parametrize("size", [1, 4, 32])
def test_no_image_fails_for_good_during_a_long_storage_outage(
    storage: MoodyStorage, shop: Catalogue, use: Any, size: int
) -> None:
    use(BATCH_SIZE=size)
    work()
    Entry.objects.update(generation="", content="")
    storage.down = True
    save_all()
    for _ in range(10):
        make_due()
        assert "The storage does not answer: RuntimeError: 500" in drain().problem
    assert set(Entry.objects.values_list("attempts", "state")) == {(0, State.PENDING)}
    storage.down = False
    make_due()
    assert work().indexed == 6


def test_a_single_broken_file_is_not_an_outage_and_fails_after_all_attempts(
    storage: MoodyStorage, shop: Catalogue, use: Any
) -> None:
    image = shop["red mug"].images.get()
    storage.broken = str(image.original)
    image.save()
    for _ in range(8):
        make_due()
        assert work().failed == 1
    assert entry(image).state == State.FAILED


def test_a_broken_file_next_to_a_missing_one_is_not_an_outage(
    storage: MoodyStorage, sell: Sell
) -> None:
    product = sell(pictures=0)
    broken, missing = add_picture(product), add_picture(product, "blue")
    storage.broken = str(broken.original)
    storage.delete(str(missing.original))
    assert work().failed == 1
    assert entry(broken).attempts == 1


def test_images_of_another_storage_are_indexed_during_the_outage(
    storage: MoodyStorage, sell: Sell
) -> None:
    sell()
    Poster.objects.create(name="sea", picture=picture_file())
    storage.down = True
    drained = drain()
    assert (drained.indexed, drained.failed) == (1, 0)
    assert "does not answer" in drained.problem


def test_one_of_two_storages_of_a_source_that_is_down_is_an_outage(
    storage: MoodyStorage, shop: Catalogue, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MoodyStorage(location=settings.MEDIA_ROOT, base_url="/other/")
    source = registry.get(IMAGES)
    elsewhere = set(ProductImage.objects.order_by("pk").values_list("pk", flat=True)[::2])

    def get_file(row: ProductImage) -> Any:
        file = row.original
        file.storage = other if row.pk in elsewhere else storage
        return file

    monkeypatch.setattr(source, "get_file", get_file)
    work()
    Entry.objects.update(generation="", content="")
    other.down = True
    save_all()
    for _ in range(3):
        make_due()
        drained = drain()
        assert "The storage does not answer" in drained.problem
        assert drained.failed == 0
    attempts = dict(Entry.objects.values_list("object_pk", "attempts"))
    assert {attempts[str(pk)] for pk in elsewhere} == {0}
    other.down, other.broken = False, str(ProductImage.objects.get(pk=min(elsewhere)).original)
    make_due()
    assert "does not answer" not in drain().problem  # one broken file in it is none
    assert Entry.objects.get(object_pk=min(elsewhere)).attempts == 1


def test_a_rebuild_stops_at_once_and_searches_keep_the_old_generation(
    storage: MoodyStorage, shop: Catalogue
) -> None:
    before, keys = live(), held()
    storage.down = True
    with pytest.raises(RebuildBlocked, match="The storage does not answer"):
        rebuild_index()
    assert (live(), held()) == (before, keys)
    storage.down = False
    rebuild_index()
    assert live() != before
    assert held() == keys


def test_an_unchanged_image_is_read_but_not_decoded(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all()
    monkeypatch.setattr("mmsearch_app.images.open_image", lambda *_, **__: pytest.fail("decoded"))
    assert work().indexed == 6


def test_an_image_whose_vector_is_missing_is_decoded_again(shop: Catalogue) -> None:
    get_index().delete(held()[:2], generation=live())
    save_all()
    assert work().indexed == 6
    assert len(held()) == 6
