"""A media volume that is not mounted, or the wrong bucket: every file is missing at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from example_shop.models import ProductImage
from mmsearch_app.indexing import rebuild, watch
from mmsearch_app.indexing.rebuild import RebuildBlocked, rebuild_index
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, Rebuild, State
from tests.indexing.rebuilding import live, names
from tests.shop import Catalogue, Sell, add_picture, entry, held, make_due, picture, work

pytestmark = pytest.mark.django_db


class Volume:
    """The folder with the shop's images, which can be unmounted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.away = root.with_name("unmounted")

    def unmount(self) -> None:
        self.root.rename(self.away)
        self.root.mkdir()

    def mount(self) -> None:
        shutil.rmtree(self.root)
        self.away.rename(self.root)

    def lose(self, *images: ProductImage) -> None:
        for image in images:
            Path(image.original.path).unlink()


@pytest.fixture
def volume(settings: Any) -> Volume:
    return Volume(Path(settings.MEDIA_ROOT))


def later() -> None:
    """Let an idle worker look at once, as after ten minutes."""
    Entry.objects.update(marked_at=timezone.now() - timedelta(minutes=11))
    watch._watch.next = watch._watch.next_sample = 0
    make_due()


def save_all() -> None:
    for image in ProductImage.objects.all():
        image.save()


@pytest.mark.parametrize("size", [1, 4, 32])
def test_files_that_are_all_missing_are_an_outage_and_no_attempt_is_counted(
    shop: Catalogue, volume: Volume, use: Callable[..., None], size: int
) -> None:
    use(BATCH_SIZE=size)
    work()
    keys = held()
    volume.unmount()
    save_all()
    for _ in range(10):
        make_due()
        assert "Is the media volume mounted" in drain().problem
    assert set(Entry.objects.values_list("state", "attempts")) == {(State.PENDING, 0)}
    assert held() == keys
    volume.mount()
    make_due()
    assert work().indexed == 6


def test_a_rebuild_stops_at_once_and_the_live_index_stays(shop: Catalogue, volume: Volume) -> None:
    before, keys = live(), held()
    volume.unmount()
    with pytest.raises(CommandError, match="Is the media volume mounted"):
        call_command("mmsearch_reindex")
    assert (live(), held()) == (before, keys)
    volume.mount()
    call_command("mmsearch_reindex")
    assert live() != before
    assert held() == keys


def test_a_single_missing_file_is_a_row_without_an_image(shop: Catalogue, volume: Volume) -> None:
    image = shop["red mug"].images.get()
    volume.lose(image)
    image.save()
    assert work().skipped == 1
    assert entry(image).state == State.EMPTY


@pytest.fixture
def dozen(sell: Sell) -> list[ProductImage]:
    """Twelve indexed images."""
    for _ in range(12):
        sell()
    work()
    return list(ProductImage.objects.order_by("pk"))


def test_a_new_index_that_lacks_most_images_is_not_promoted_unless_told(
    dozen: list[ProductImage], volume: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    before, keys = live(), held()
    volume.lose(*dozen[5:])
    with pytest.raises(CommandError, match="Only 5 of 12 images could be indexed"):
        call_command("mmsearch_reindex")
    assert (live(), held(), names()) == (before, keys, [before])
    row = Rebuild.objects.get()
    assert not row.open
    assert "--allow-loss" in row.error
    call_command("mmsearch_reindex", "--allow-loss")
    assert live() != before
    assert len(held()) == 5


def test_a_new_index_that_lacks_a_few_images_is_promoted(
    dozen: list[ProductImage], volume: Volume
) -> None:
    volume.lose(*dozen[:5])
    call_command("mmsearch_reindex")
    assert len(held()) == 7


def test_a_reindex_names_the_files_that_are_missing(
    shop: Catalogue, volume: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("mmsearch_reindex")
    assert "missing" not in capsys.readouterr().err
    lost = ProductImage.objects.order_by("pk")[:2]
    volume.lose(*lost)
    call_command("mmsearch_reindex")
    said = capsys.readouterr().err
    assert f"Files missing in the storage: 2, such as {lost[0].original.name}." in said


def test_images_that_the_shop_unpublished_are_no_loss(
    dozen: list[ProductImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "example_shop.mmsearch.ProductImages.get_queryset",
        lambda source: ProductImage.objects.filter(pk=dozen[0].pk),
    )
    call_command("mmsearch_reindex")
    assert len(held()) == 1


def test_a_tiny_shop_may_lose_most_but_not_all_images(sell: Sell, volume: Volume) -> None:
    sell(pictures=2)
    work()
    first, second = ProductImage.objects.all()
    volume.lose(first)
    rebuild_index()
    work()
    assert len(held()) == 1
    volume.lose(second)
    with pytest.raises(RebuildBlocked, match="Only 0 of 1 images"):
        rebuild_index()
    assert len(held()) == 1


def test_a_first_index_without_any_readable_image_ends_in_an_error(
    sell: Sell, volume: Volume
) -> None:
    sell(pictures=2)
    volume.unmount()
    for _ in range(2):
        with pytest.raises(CommandError, match=r"Only 0 of 2 .*The file is missing: .*mounted"):
            call_command("mmsearch_reindex")
    volume.mount()
    call_command("mmsearch_reindex")
    assert len(held()) == 2


def test_a_first_index_of_a_shop_without_images_is_no_error(sell: Sell) -> None:
    sell(pictures=0)
    call_command("mmsearch_reindex")


def test_a_rebuild_by_a_worker_that_would_lose_most_ends_with_the_reason_in_the_admin(
    dozen: list[ProductImage], volume: Volume, admin_client: Any
) -> None:
    from mmsearch_app.indexing import WorkerLoop

    before = live()
    volume.lose(*dozen[5:])
    rebuild.request_rebuild()
    loop = WorkerLoop()
    for _ in range(4):
        loop.turn()
    assert live() == before
    page = admin_client.get("/admin/mmsearch_app/entry/reindex/").content.decode()
    assert "Only 5 of 12 images could be indexed" in page


def test_missing_files_are_tried_again_and_found_without_a_person(
    sell: Sell, volume: Volume
) -> None:
    product = sell(pictures=0)
    volume.root.mkdir(exist_ok=True)
    images = [add_picture(product, side=32 + n) for n in range(8)]
    volume.unmount()
    for image in images:
        image.save()
    work()
    assert set(Entry.objects.values_list("state", flat=True)) == {State.EMPTY}
    volume.mount()
    watch._watch.next = 0
    assert work().indexed == 0, "tried again at once"
    later()
    assert work().indexed == watch._SAMPLE
    later()
    assert work().indexed == 8 - watch._SAMPLE
    assert len(held()) == 8


def test_few_missing_files_are_opened_again_while_they_stay_missing(
    dozen: list[ProductImage], volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.lose(*dozen[:8])
    for image in dozen[:8]:
        image.save()
    work()
    later()
    assert work().skipped == watch._SAMPLE
    assert work().skipped == 0


def test_reconcile_tries_each_missing_file_again_a_day_later(
    dozen: list[ProductImage], volume: Volume
) -> None:
    volume.lose(dozen[0])
    dozen[0].save()
    work()
    assert reconcile() == Drift()
    Entry.objects.update(marked_at=timezone.now() - timedelta(hours=25))
    assert reconcile() == Drift(changed=1)
    Path(dozen[0].original.path).write_bytes(picture())
    work()
    assert len(held()) == 12
