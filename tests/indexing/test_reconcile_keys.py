"""Reconcile with unusual keys, and with images that failed for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from example_shop.models import ProductImage
from mmsearch_app.indexing.rebuild import rebuild_index
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.models import Entry, State
from tests.shapes.models import Poster
from tests.shop import IMAGES, EmbedderWithMoods, Sell, add_picture, entry, held, picture_file, work

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("key", ["deadbeef", "", "9" * 40, "7.0", "007", "1 OR 1=1", "-"])
@pytest.mark.parametrize("source", [IMAGES, "shapes.poster"])
def test_an_entry_with_an_invalid_key_is_removed(sell: Sell, source: str, key: str) -> None:
    sell()
    Poster.objects.create(name="sea", picture=picture_file())
    work()
    if key == "007":  # written as no database writes the key of an existing row
        key = f"00{Entry.objects.get(source=source).object_pk}"
    Entry.objects.create(
        source=source, object_pk=key, marked_at=timezone.now(), state=State.INDEXED
    )
    assert reconcile() == Drift(gone=1)
    assert work().removed == 1
    assert len(held()) == 2


@pytest.fixture
def failed_image(sell: Sell, embedder: EmbedderWithMoods, use: Any) -> Any:
    """An image that has used up all its attempts."""
    use(MAX_ATTEMPTS=1)
    image = add_picture(sell(), "black")
    work()
    assert entry(image).state == State.FAILED
    return image


def a_day_later() -> None:
    Entry.objects.update(marked_at=timezone.now() - timedelta(days=1, seconds=1))


def test_failed_entries_are_retried_once_a_day(failed_image: Any) -> None:
    assert reconcile() == Drift()
    a_day_later()
    assert reconcile() == Drift(changed=1)
    work()
    assert entry(failed_image).state == State.FAILED
    assert reconcile() == Drift()


def test_entries_that_failed_a_day_ago_do_not_block_a_rebuild(failed_image: Any) -> None:
    a_day_later()
    assert not rebuild_index().open
    assert entry(failed_image).state == State.FAILED


def test_a_key_of_nineteen_digits_is_known(sell: Sell) -> None:
    ProductImage.objects.create(
        pk=8_234_567_890_123_456_789, product=sell(pictures=0), original=picture_file()
    )
    work()
    assert len(held()) == 1
    assert reconcile() == Drift()
