"""The state of a row after a worker has handled it."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pytest
from django.core.files.base import ContentFile

from mmsearch_app import Filter, ImageSource, mark, search
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes.base import Condition
from mmsearch_app.models import Entry, State
from mmsearch_app.testing import registered
from tests.shapes.models import Attachment, Garment, Media, Poster, Tag
from tests.shop import IMAGES, CountingEmbedder, Sell, entry, held, picture_file, work
from tests.shop_kit import vector_of

pytestmark = pytest.mark.django_db


def products_within(*conditions: Condition) -> list[str]:
    """Keys of the products whose records match the conditions."""
    index, embedder = get_index(), get_embedder()
    live = index.live()
    assert live is not None
    found = index.search(
        np.ones(embedder.dimension, np.float32),
        generation=live.name,
        limit=100,
        conditions=conditions,
    )
    return sorted(match.product for match in found)


def test_a_file_that_is_missing_is_recorded_as_a_state(sell: Sell) -> None:
    image = sell().images.get()
    os.remove(image.original.path)
    assert work().skipped == 1
    found = entry(image)
    assert found.state == State.EMPTY
    assert "The file is missing" in found.error


def test_a_file_that_disappears_removes_its_record(sell: Sell) -> None:
    image = sell().images.get()
    work()
    os.remove(image.original.path)
    image.save()
    work()
    assert held() == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n"), ("a.pdf", b"%PDF-1.7"), ("a.png", b"")],
)
def test_a_file_that_is_not_an_image_is_rejected_with_a_reason(name: str, content: bytes) -> None:
    garment = Garment.objects.create(code="a", name="coat")
    attachment = Attachment.objects.create(garment=garment, upload=ContentFile(content, name=name))
    work()
    found = entry(attachment)
    assert found.state == State.REJECTED
    assert found.error
    assert held() == []


def test_rows_without_a_file_or_a_product_are_empty() -> None:
    garment = Garment.objects.create(code="a", name="coat")
    without_file = Attachment.objects.create(garment=garment)
    without_product = Attachment.objects.create(upload=picture_file())
    work()
    assert entry(without_file).state == entry(without_product).state == State.EMPTY
    assert held() == []


def test_a_row_that_gets_its_image_later_is_indexed() -> None:
    garment = Garment.objects.create(code="a", name="coat")
    work()
    garment.photo = Media.objects.create(file=picture_file())
    garment.save()
    work()
    assert held() == ["shapes.garment:a"]


def test_products_that_share_a_media_row_are_all_indexed() -> None:
    media = Media.objects.create(file=picture_file())
    for code in ("a", "b", "c d"):
        Garment.objects.create(code=code, name=code, photo=media)
    work()
    assert held() == ["shapes.garment:a", "shapes.garment:b", "shapes.garment:c d"]


def test_unpublishing_the_product_removes_its_images(sell: Sell) -> None:
    product = sell(pictures=2)
    work()
    product.is_public = False
    product.save()
    assert work().removed == 2
    assert held() == []
    product.is_public = True
    product.save()
    assert work().indexed == 2


def test_a_change_of_price_updates_the_filter_and_embeds_nothing(
    sell: Sell, embedder: CountingEmbedder
) -> None:
    product = sell(price=10)
    work()
    product.price = 99
    product.save()
    work()
    assert embedder.documents == 1
    assert products_within(Condition(name="price", operator="gt", values=(50,)))


def test_a_change_of_title_embeds_again(sell: Sell, embedder: CountingEmbedder) -> None:
    product = sell()
    work()
    before = vector_of(product.images.get())
    product.title = "crimson goblet"
    product.save()
    work()
    assert embedder.documents == 2
    assert not np.allclose(vector_of(product.images.get()), before)


def test_a_forced_mark_embeds_again_without_a_change(
    sell: Sell, embedder: CountingEmbedder
) -> None:
    product = sell()
    work()
    mark(product, force=True)
    work()
    assert embedder.documents == 2


def test_a_changed_tag_changes_the_filter_in_the_index() -> None:
    poster = Poster.objects.create(name="sea", picture=picture_file())
    poster.tags.set([Tag.objects.create(name="blue"), Tag.objects.create(name="water")])
    work()
    water = Condition(name="tag", operator="in", values=("water",))
    assert products_within(water) == [f"shapes.poster:{poster.pk}"]
    poster.tags.set([Tag.objects.create(name="calm")])
    work()
    assert products_within(water) == []


class Priced(ImageSource):
    name = "priced"
    image = "picture"
    filters: ClassVar = {"worth": Filter("worth", type=float)}


def index_worth(worth: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Index three posters, of which one is called "bad"; returns their entries."""
    monkeypatch.setattr(Poster, "worth", property(worth), raising=False)
    for name in ("good", "bad", "better"):
        Poster.objects.create(name=name, picture=picture_file(), price=Decimal(5))
    work()
    return Entry.objects.filter(source="priced")


def test_filters_that_the_index_refuses_do_not_stop_other_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with registered(Priced(Poster)):
        many = [number + 0.123 for number in range(9000)]
        entries = index_worth(lambda self: many if self.name == "bad" else 5, monkeypatch)
        assert sorted(entries.values_list("state", flat=True)) == ["indexed", "indexed", "pending"]
        assert "filters of a record take" in entries.get(state=State.PENDING).error


def test_a_value_that_is_not_of_the_filters_type_costs_only_itself_and_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with registered(Priced(Poster)):
        wrong = [float("nan"), {"eu": 5}, 7]
        entries = index_worth(lambda self: wrong if self.name == "bad" else 5, monkeypatch)
        assert set(entries.values_list("state", flat=True)) == {"indexed"}
        (bad,) = entries.exclude(error="")
        assert bad.error == (
            "The filter 'worth' leaves out a value: 'nan' is no finite number. "
            "The filter 'worth' leaves out a value: \"{'eu': 5}\" is no finite number."
        )
        assert [hit.title for hit in search("x", filters={"worth": 7}).hits] == ["bad"]


def test_an_entry_whose_key_is_invalid_for_the_model_is_removed(sell: Sell) -> None:
    sell()
    Entry.objects.create(
        source=IMAGES,
        object_pk="not-a-number",
        marked_at="2026-01-01T00:00Z",
        due_at="2026-01-01T00:00Z",
    )
    drained = work()
    assert (drained.indexed, drained.removed) == (1, 1)


def test_an_entry_of_an_unregistered_source_is_removed() -> None:
    with registered(Priced(Poster)):
        Poster.objects.create(name="sea", picture=picture_file())
    work()
    assert Entry.objects.get(source="priced").state == State.REMOVED
