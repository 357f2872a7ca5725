"""The left road: from a marked row to a record in the index."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage

from example_shop.models import ProductImage
from mmsearch_app import ImageSource, mark
from mmsearch_app.conf import get_embedder, get_index
from mmsearch_app.indexes.base import Condition
from mmsearch_app.models import Entry, State
from mmsearch_app.testing import registered
from mmsearch_app.worker import drain
from tests.core.conftest import (
    IMAGES,
    CountingEmbedder,
    EmbedderWithMoods,
    Sell,
    add_picture,
    entry,
    held,
    make_due,
    picture,
    picture_file,
    work,
)
from tests.shapes.models import Attachment, Garment, Media, Poster, Tag

pytestmark = pytest.mark.django_db


def vector_of(row: Any) -> Any:
    live = get_index().live()
    assert live is not None
    key = entry(row).key
    return get_index().vectors([key], generation=live.name)[key]


def products_within(*conditions: Condition) -> list[str]:
    """Keys of the products whose records fulfil the conditions."""
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


def test_what_is_saved_is_in_the_index_after_a_drain(sell: Sell) -> None:
    image = sell().images.get()
    assert work().indexed == 1
    assert held() == [f"{IMAGES}:{image.pk}"]
    found = entry(image)
    assert (found.state, len(found.digest), found.attempts) == (State.INDEXED, 64, 0)


def test_a_second_drain_finds_nothing_to_do(sell: Sell, embedder: CountingEmbedder) -> None:
    sell()
    work()
    assert str(work()) == "0 indexed, 0 removed, 0 without a usable picture, 0 failed"
    assert embedder.documents == 1


def test_what_is_deleted_leaves_the_index(sell: Sell) -> None:
    product = sell(pictures=2)
    work()
    product.images.first().delete()
    assert work().removed == 1
    assert len(held()) == 1


def test_saving_again_writes_the_same_record_again(sell: Sell) -> None:
    product = sell()
    for _ in range(3):
        product.images.get().save()
        work()
    assert len(held()) == 1


def test_a_limit_ends_the_drain_early(sell: Sell) -> None:
    sell(pictures=5)
    assert drain(limit=2).indexed == 2
    assert Entry.objects.filter(state=State.PENDING).count() == 3


def test_progress_adds_up_to_what_was_done(sell: Sell, use: Any) -> None:
    use(BATCH_SIZE=2)
    sell(pictures=5)
    steps: list[int] = []
    drain(progress=steps.append)
    assert steps == [2, 2, 1]


def test_a_save_during_an_outage_of_the_index_succeeds_and_is_indexed_later(
    sell: Sell, index: Any
) -> None:
    sell()
    work()
    index.away = True
    image = sell("blue mug").images.get()
    drained = drain()
    assert "cannot be reached" in drained.problem
    assert entry(image).attempts == 0
    index.away = False
    make_due()
    assert work().indexed == 1
    assert len(held()) == 2


def test_a_delete_during_an_outage_of_the_index_succeeds_and_is_done_later(
    sell: Sell, index: Any
) -> None:
    image = sell().images.get()
    work()
    index.away = True
    image.delete()
    assert drain().problem
    index.away = False
    assert len(held()) == 1
    make_due()
    assert work().removed == 1
    assert held() == []


def test_however_long_an_outage_lasts_nothing_gives_up(sell: Sell, index: Any, use: Any) -> None:
    image = sell().images.get()
    index.away = True
    for _ in range(20):
        make_due()
        drain()
    found = entry(image)
    assert (found.state, found.attempts) == (State.PENDING, 0)
    assert "cannot be reached" in found.error


@pytest.mark.parametrize("pictures", [1, 2, 5])
def test_an_outage_of_the_embedder_costs_no_attempt(
    sell: Sell, embedder: EmbedderWithMoods, pictures: int
) -> None:
    sell(pictures=pictures)
    embedder.down = True
    for _ in range(10):
        make_due()
        assert "EmbedderWithMoods does not work" in drain().problem
    assert set(Entry.objects.values_list("attempts", "state")) == {(0, State.PENDING)}
    embedder.down = False
    make_due()
    assert work().indexed == pictures


@pytest.mark.parametrize("bad", [1, 3, 4])
def test_pictures_that_break_the_embedder_do_not_stop_the_others(
    sell: Sell, embedder: EmbedderWithMoods, bad: int
) -> None:
    product = sell(pictures=0)
    broken = [add_picture(product, "black", side=32 + n) for n in range(bad)]
    fine = [add_picture(product, "red", side=32 + n) for n in range(2)]
    drained = work()
    assert (drained.indexed, drained.failed) == (2, bad)
    assert {entry(image).state for image in fine} == {State.INDEXED}
    assert {entry(image).attempts for image in broken} == {1}
    assert "makes the model stumble" in entry(broken[0]).error


def test_a_batch_of_nothing_but_bad_pictures_gives_up_in_the_end(
    sell: Sell, embedder: EmbedderWithMoods, use: Any
) -> None:
    product = sell(pictures=0)
    for side in (32, 33, 34):
        add_picture(product, "black", side=side)
    for _ in range(8):
        make_due()
        work()
    assert set(Entry.objects.values_list("state", flat=True)) == {State.FAILED}


@pytest.mark.parametrize("fault", ["shape", "nan", "length"])
def test_an_embedder_that_breaks_its_contract_is_told_so_and_nothing_is_written(
    sell: Sell, embedder: EmbedderWithMoods, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def spoil(contents: Any) -> Any:
        vectors = CountingEmbedder.embed_documents(embedder, contents)
        return {"shape": vectors[:, :-1], "nan": vectors * np.nan, "length": vectors * 3}[fault]

    monkeypatch.setattr(embedder, "embed_documents", spoil)
    sell()
    assert "EmbedderWithMoods returned" in drain().problem
    assert held() == []


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


def test_a_file_that_is_gone_before_the_worker_comes_is_a_state_and_no_crash(sell: Sell) -> None:
    image = sell().images.get()
    os.remove(image.original.path)
    assert work().skipped == 1
    found = entry(image)
    assert found.state == State.EMPTY
    assert "The file is missing" in found.error


def test_a_file_that_disappears_takes_the_record_along(sell: Sell) -> None:
    image = sell().images.get()
    work()
    os.remove(image.original.path)
    image.save()
    work()
    assert held() == []


class BrokenStorage(FileSystemStorage):
    """Raises what no storage should, and not an OSError."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise RuntimeError("500 Internal Server Error")

    def size(self, name: str) -> int:
        raise RuntimeError("500 Internal Server Error")


def test_a_storage_that_fails_is_tried_again_later(
    sell: Sell, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, fine = sell().images.get(), sell("blue mug").images.get()
    field = ProductImage._meta.get_field("original")
    good = field.storage

    def file_of(source: Any, row: Any) -> Any:
        row.original.storage = BrokenStorage() if row.pk == image.pk else good
        return row.original

    with monkeypatch.context() as patch:
        patch.setattr("example_shop.mmsearch.ProductImages.get_file", file_of)
        drained = work()
    assert (drained.indexed, drained.failed) == (1, 1)
    assert entry(fine).state == State.INDEXED
    found = entry(image)
    assert (found.state, found.attempts) == (State.PENDING, 1)
    assert found.error == "RuntimeError: 500 Internal Server Error"
    make_due()
    assert work().indexed == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n"), ("a.pdf", b"%PDF-1.7"), ("a.png", b"")],
)
def test_a_file_that_is_no_picture_is_rejected_and_says_why(name: str, content: bytes) -> None:
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


def test_a_row_that_gets_its_picture_later_is_indexed_then() -> None:
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


def test_unpublishing_the_product_takes_its_pictures_out(sell: Sell) -> None:
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


def test_a_change_of_title_embeds_anew(sell: Sell, embedder: CountingEmbedder) -> None:
    product = sell()
    work()
    before = vector_of(product.images.get())
    product.title = "crimson goblet"
    product.save()
    work()
    assert embedder.documents == 2
    assert not np.allclose(vector_of(product.images.get()), before)


def test_a_forced_mark_embeds_anew_without_any_change(
    sell: Sell, embedder: CountingEmbedder
) -> None:
    product = sell()
    work()
    mark(product, force=True)
    work()
    assert embedder.documents == 2


def test_a_changed_tag_is_what_the_index_filters_on() -> None:
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
    filters: ClassVar = {"worth": "worth"}


def test_a_filter_value_that_the_index_refuses_stops_no_other_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worth = property(lambda self: float("nan") if self.name == "bad" else float(self.price))
    monkeypatch.setattr(Poster, "worth", worth, raising=False)
    with registered(Priced(Poster)):
        for name in ("good", "bad", "better"):
            Poster.objects.create(name=name, picture=picture_file(), price=Decimal(5))
        work()
        entries = Entry.objects.filter(source="priced")
        assert sorted(entries.values_list("state", flat=True)) == ["indexed", "indexed", "pending"]
        assert "no value to filter on" in entries.get(state=State.PENDING).error


class Titled(ImageSource):
    name = "titled"
    image = "picture"
    title = "headline"


def test_a_property_of_the_shop_that_raises_stops_no_other_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def headline(self: Poster) -> str:
        if self.name == "bad":
            raise ZeroDivisionError("division by zero")
        return self.name

    monkeypatch.setattr(Poster, "headline", property(headline), raising=False)
    with registered(Titled(Poster)):
        for name in ("good", "bad", "better"):
            Poster.objects.create(name=name, picture=picture_file())
        work()
        entries = Entry.objects.filter(source="titled")
        assert sorted(entries.values_list("state", flat=True)) == ["indexed", "indexed", "pending"]
        assert entries.get(state=State.PENDING).error == "ZeroDivisionError: division by zero"


def test_an_entry_whose_key_no_longer_fits_the_model_is_removed(sell: Sell) -> None:
    sell()
    Entry.objects.create(
        source=IMAGES,
        object_pk="not-a-number",
        marked_at="2026-01-01T00:00Z",
        due_at="2026-01-01T00:00Z",
    )
    drained = work()
    assert (drained.indexed, drained.removed) == (1, 1)


def test_an_entry_of_a_source_that_is_gone_is_removed() -> None:
    with registered(Priced(Poster)):
        Poster.objects.create(name="sea", picture=picture_file())
    work()
    assert Entry.objects.get(source="priced").state == State.REMOVED


def test_the_number_of_queries_does_not_grow_with_the_rows_of_a_batch(
    sell: Sell, django_assert_max_num_queries: Any
) -> None:
    sell()
    work()
    for number in range(10):
        sell(f"blue mug {number}")
    with django_assert_max_num_queries(10 + 16):
        work()


def test_the_embedder_sees_a_safe_and_small_picture_with_the_title(
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
