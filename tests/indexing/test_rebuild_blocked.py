"""Failures that block a rebuild before the switch, and failures that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from example_shop.models import ProductImage
from mmsearch_app.backends import get_embedder
from mmsearch_app.indexing.rebuild import RebuildBlocked, rebuild_index
from mmsearch_app.models import Rebuild, State
from tests.indexing.rebuilding import live
from tests.shop import Catalogue, add_picture, entry, held, work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def blocked_reading(key: Any) -> Any:
    def get_file(source: Any, row: Any) -> Any:
        if row.pk == key:
            raise ConnectionError("503 Slow Down")
        return row.original

    return get_file


@pytest.fixture
def unreadable(shop: Catalogue, monkeypatch: pytest.MonkeyPatch) -> ProductImage:
    """An image that the storage cannot read at the moment."""
    image = shop["red mug"].images.get()
    monkeypatch.setattr("example_shop.mmsearch.ProductImages.get_file", blocked_reading(image.pk))
    return image


def test_a_failing_storage_blocks_the_switch_and_searches_keep_the_old_generation(
    unreadable: ProductImage,
) -> None:
    before, keys = live(), held()
    with pytest.raises(RebuildBlocked, match=r"1 images cannot be read now.*Slow Down"):
        rebuild_index()
    assert live() == before
    assert held() == keys
    assert "Slow Down" in Rebuild.objects.get().error


def test_a_blocked_rebuild_is_completed_after_the_storage_recovers(
    unreadable: ProductImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder: Any = get_embedder()
    with pytest.raises(RebuildBlocked):
        rebuild_index()
    monkeypatch.undo()
    before = embedder.documents
    rebuild_index()
    assert embedder.documents - before == 1
    assert len(held()) == 6


def test_a_tolerant_rebuild_switches_and_keeps_missing_images_due(
    unreadable: ProductImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild_index(tolerant=True)
    assert len(held()) == 5
    assert entry(unreadable).due_at is not None
    monkeypatch.undo()
    work()
    assert len(held()) == 6


def test_an_image_that_had_failed_before_does_not_block_the_switch(
    shop: Catalogue, use: Callable[..., None]
) -> None:
    use(MAX_ATTEMPTS=1)
    rebuild_index()
    image = add_picture(shop["red mug"], "black")
    work()
    assert entry(image).state == State.FAILED
    rebuild_index()
    assert len(held()) == 6


def test_a_value_that_the_index_refuses_is_reported(
    shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_filters(source: Any, row: Any) -> Any:
        return {"price": range_of(9000) if row.product == shop["red mug"] else [1.0]}

    def range_of(size: int) -> list[float]:
        return [number + 0.123 for number in range(size)]

    monkeypatch.setattr("example_shop.mmsearch.ProductImages.get_filters", get_filters)
    with pytest.raises(RebuildBlocked, match=r"The filters of a record take \d+ bytes"):
        rebuild_index()


def test_a_rebuild_without_a_working_model_says_so(shop: Catalogue) -> None:
    embedder: Any = get_embedder()
    embedder.down = True
    before = held()
    with pytest.raises(CommandError, match="does not work"):
        call_command("mmsearch_reindex")
    assert held() == before
    embedder.down = False
    call_command("mmsearch_reindex")


def test_the_command_can_be_tolerant(unreadable: ProductImage) -> None:
    with pytest.raises(CommandError):
        call_command("mmsearch_reindex")
    call_command("mmsearch_reindex", "--tolerant")
    assert len(held()) == 5
