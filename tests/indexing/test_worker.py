"""A worker turns marked rows into records in the index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile

from example_shop.models import ProductImage
from mmsearch_app import mark
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, State
from tests.shapes.models import Poster
from tests.shop import (
    IMAGES,
    CountingEmbedder,
    EmbedderWithMoods,
    Sell,
    entry,
    held,
    picture,
    picture_file,
    work,
)
from tests.shop_kit import vector_of

pytestmark = pytest.mark.django_db


def test_saved_rows_are_in_the_index_after_a_drain(sell: Sell) -> None:
    image = sell().images.get()
    assert work().indexed == 1
    assert held() == [f"{IMAGES}:{image.pk}"]
    found = entry(image)
    assert (found.state, len(found.digest), found.attempts) == (State.INDEXED, 64, 0)


def test_a_second_drain_finds_nothing_to_do(sell: Sell, embedder: CountingEmbedder) -> None:
    sell()
    work()
    assert str(work()) == "0 indexed, 0 removed, 0 without a usable image, 0 failed"
    assert embedder.documents == 1


def test_deleted_rows_leave_the_index(sell: Sell) -> None:
    product = sell(pictures=2)
    work()
    product.images.all()[0].delete()
    assert work().removed == 1
    assert len(held()) == 1


def test_saving_again_replaces_the_record(sell: Sell) -> None:
    product = sell()
    for _ in range(3):
        product.images.get().save()
        work()
    assert len(held()) == 1


def test_a_limit_ends_the_drain_early(sell: Sell) -> None:
    sell(pictures=5)
    assert drain(limit=2).indexed == 2
    assert Entry.objects.filter(state=State.PENDING).count() == 3


def test_progress_adds_up_to_the_total(sell: Sell, use: Any) -> None:
    use(BATCH_SIZE=2)
    sell(pictures=5)
    steps: list[int] = []
    drain(progress=steps.append)
    assert steps == [2, 2, 1]


def test_a_save_during_the_embedding_is_not_lost(sell: Sell, embedder: EmbedderWithMoods) -> None:
    image = sell(colour="red").images.get()

    def save_once() -> None:
        embedder.before = None
        image.original.save("changed.png", picture_file("blue"))

    embedder.before = save_once
    work()
    assert entry(image).state == State.INDEXED
    embedder.before = None
    mark(image, force=True)
    settled = vector_of(image)
    work()
    assert np.allclose(vector_of(image), settled)
    assert embedder.documents == 3


def test_a_delete_during_the_embedding_is_not_undone(
    sell: Sell, embedder: EmbedderWithMoods
) -> None:
    image = sell().images.get()

    def delete_once() -> None:
        embedder.before = None
        ProductImage.objects.all().delete()

    embedder.before = delete_once
    work()
    assert held() == []
    assert Entry.objects.get(object_pk=image.pk).state == State.REMOVED


def test_the_number_of_queries_does_not_grow_with_the_rows_of_a_batch(
    sell: Sell, django_assert_max_num_queries: Any
) -> None:
    sell()
    work()
    for number in range(10):
        sell(f"blue mug {number}")
    with django_assert_max_num_queries(10 + 17):
        work()


def test_the_embedder_gets_a_safe_small_image_with_the_title(
    embedder: EmbedderWithMoods, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    whole = embedder.embed_documents

    def look(contents: Any) -> Any:
        seen.extend(contents)
        return whole(contents)

    monkeypatch.setattr(embedder, "embed_documents", look)
    Poster.objects.create(name="sea", picture=ContentFile(picture(side=2000), name="a.png"))
    work()
    assert (seen[0].image.mode, max(seen[0].image.size), seen[0].text) == ("RGB", 1024, "sea")
