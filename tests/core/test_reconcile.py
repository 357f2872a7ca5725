"""What no signal told is found by comparing."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from example_shop.models import Product, ProductImage
from mmsearch_app import ImageSource
from mmsearch_app.conf import get_embedder, get_index
from mmsearch_app.models import Entry, Rebuild, State
from mmsearch_app.reconcile import Drift, reconcile
from mmsearch_app.testing import registered
from tests.core.conftest import (
    IMAGES,
    CountingEmbedder,
    Sell,
    add_picture,
    entry,
    held,
    make_due,
    picture,
    picture_file,
    work,
)
from tests.shapes.models import Attachment, CheapPoster, FramedPoster, Garment, Media, Poster

pytestmark = pytest.mark.django_db


def delete_raw(*keys: Any) -> None:
    table = ProductImage._meta.db_table
    with connection.cursor() as cursor:
        statement = f"DELETE FROM {table} WHERE id = %s"  # noqa: S608 - our own table's name
        cursor.executemany(statement, [(key,) for key in keys])


def test_exactly_what_changed_without_a_signal_is_found_and_then_nothing(
    sell: Sell, capsys: pytest.CaptureFixture[str]
) -> None:
    product = sell(pictures=0)
    name = ProductImage._meta.get_field("original").storage.save("a.png", picture_file())
    for _ in range(100):
        ProductImage.objects.create(product=product, original=name)
    work()
    keys = list(ProductImage.objects.values_list("pk", flat=True))
    ProductImage.objects.bulk_create(
        ProductImage(product=product, original=name) for _ in range(50)
    )
    changed = ProductImage.objects.filter(pk__in=keys[:30])
    assert changed.update(original="products/renamed.png") == 30
    delete_raw(*keys[30:50])
    call_command("mmsearch_reconcile")
    assert capsys.readouterr().out.startswith("100 differences: 80 new or changed, 20 gone")
    call_command("mmsearch_reconcile")
    assert capsys.readouterr().out.startswith("0 differences")


def test_what_it_found_is_put_right_by_the_next_drain(sell: Sell) -> None:
    product = sell(pictures=2)
    work()
    first, second = ProductImage.objects.all()
    delete_raw(first.pk)
    ProductImage.objects.bulk_create([ProductImage(product=product, original=second.original)])
    reconcile()
    drained = work()
    assert (drained.indexed, drained.removed) == (1, 1)
    assert held() == sorted(f"{IMAGES}:{image.pk}" for image in ProductImage.objects.all())
    assert reconcile() == Drift()


def test_a_column_that_takes_no_part_in_the_search_is_no_difference(sell: Sell) -> None:
    sell(pictures=2)
    work()
    ProductImage.objects.update(position=F("position") + 1)
    assert reconcile() == Drift()


@pytest.mark.parametrize("column", [{"title": "blue mug"}, {"price": 99}])
def test_a_changed_column_of_the_product_is_a_difference(
    sell: Sell, column: dict[str, Any]
) -> None:
    sell(pictures=2)
    work()
    Product.objects.update(**column)
    assert reconcile().changed == 2


def test_unpublishing_without_a_signal_is_found(sell: Sell) -> None:
    sell(pictures=2)
    work()
    Product.objects.update(is_public=False)
    assert reconcile().gone == 2
    work()
    assert held() == []
    Product.objects.update(is_public=True)
    assert reconcile().changed == 2


def test_what_waits_already_is_not_marked_again(sell: Sell) -> None:
    before = entry(sell().images.get()).wanted
    assert reconcile() == Drift()
    assert Entry.objects.get().wanted == before


def test_what_gave_up_is_left_alone_until_it_changes(sell: Sell, use: Any) -> None:
    use(
        MAX_ATTEMPTS=1,
        EMBEDDER={"BACKEND": "tests.core.conftest.EmbedderWithMoods"},
    )
    image = add_picture(sell(pictures=0), "black")
    work()
    assert entry(image).state == State.FAILED
    assert reconcile() == Drift()
    ProductImage.objects.update(original="products/another.png")
    assert reconcile().changed == 1


def test_what_is_no_picture_or_has_none_is_no_difference() -> None:
    garment = Garment.objects.create(code="a", name="coat")
    Attachment.objects.create(garment=garment)
    Attachment.objects.create(garment=garment, upload=picture_file())
    work()
    assert reconcile() == Drift()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Poster(name="sea", picture="a.png"),
        lambda: Garment(code="A:1 ä", name="coat"),
        lambda: Attachment(),
    ],
    ids=["uuid", "text", "number"],
)
def test_rows_of_every_kind_of_key_are_found_both_ways(make: Any) -> None:
    row = make()
    type(row).objects.bulk_create([row])
    assert reconcile() == Drift(changed=1)
    work()
    assert reconcile() == Drift()
    type(row).objects.all()._raw_delete("default")
    assert reconcile() == Drift(gone=1)
    work()
    assert reconcile() == Drift()


def test_a_subclass_is_found_by_its_parents_row() -> None:
    framed = FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
    work()
    Poster.objects.update(name="sky")
    assert reconcile() == Drift(changed=1)
    assert entry(Poster.objects.get(pk=framed.pk)).state == State.PENDING


class Framed(ImageSource):
    image = "picture"
    title = "name"


def test_a_source_of_a_subclass_compares_its_parents_key() -> None:
    with registered(Framed(FramedPoster)):
        FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
        work()
        assert reconcile() == Drift()
        Poster.objects.update(name="sky")
        assert reconcile("shapes.framedposter") == Drift(changed=1)


def test_a_source_of_a_proxy_is_compared_like_any_other() -> None:
    with registered(Framed(CheapPoster)):
        Poster.objects.bulk_create([Poster(name="sea", picture="a.png")])
        assert reconcile("shapes.cheapposter") == Drift(changed=1)


def test_only_the_named_source_is_compared(sell: Sell) -> None:
    product = sell(pictures=0)
    ProductImage.objects.bulk_create([ProductImage(product=product, original="a.png")])
    Poster.objects.bulk_create([Poster(name="sea", picture="a.png")])
    assert reconcile("shapes.poster") == Drift(changed=1)
    assert reconcile(IMAGES) == Drift(changed=1)


def test_an_unknown_source_is_named_with_the_right_ones() -> None:
    with pytest.raises(CommandError, match=r"No image source is called 'nope'.*productimage"):
        call_command("mmsearch_reconcile", "nope")


def test_entries_of_a_source_that_is_no_longer_registered_are_gone() -> None:
    with registered(Framed(FramedPoster)):
        FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
        work()
    assert reconcile() == Drift(gone=1)


def test_a_named_reconcile_leaves_the_other_sources_alone(sell: Sell) -> None:
    sell()
    work()
    assert reconcile("shapes.poster") == Drift()
    assert len(held()) == 1


def test_a_file_replaced_under_its_own_name_is_found_by_reading_files(
    sell: Sell, embedder: CountingEmbedder, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sell(pictures=2).images.first()
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


def test_a_deep_reconcile_finds_what_the_index_lost(sell: Sell) -> None:
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


def test_a_deep_reconcile_deletes_what_no_entry_accounts_for(sell: Sell) -> None:
    sell(pictures=3)
    work()
    Entry.objects.filter(object_pk=ProductImage.objects.first().pk).delete()
    delete_raw(ProductImage.objects.first().pk)
    assert reconcile(deep=True) == Drift(strays=1)
    assert len(held()) == 2


def test_a_deep_reconcile_finds_what_was_written_to_a_generation_that_is_gone(
    sell: Sell,
) -> None:
    sell(pictures=2)
    work()
    Entry.objects.filter(pk=Entry.objects.first().pk).update(generation="an-older-one")
    assert reconcile(deep=True) == Drift(lost=1)


def test_a_deep_reconcile_of_a_wiped_index_marks_everything(sell: Sell, settings: Any) -> None:
    sell(pictures=3)
    work()
    settings.MMSEARCH = {**settings.MMSEARCH}
    assert get_index().live() is None
    assert reconcile(deep=True) == Drift(lost=3)
    work()
    assert len(held()) == 3


def test_a_wiped_index_heals_with_the_first_entry_that_is_worked_on(
    sell: Sell, settings: Any
) -> None:
    product = sell(pictures=3)
    work()
    settings.MMSEARCH = {**settings.MMSEARCH}
    add_picture(product, "blue")
    work()
    assert len(held()) == 4


def test_a_deep_reconcile_says_so_when_the_index_is_away(sell: Sell, index: Any) -> None:
    sell()
    work()
    index.away = True
    with pytest.raises(CommandError, match="cannot be reached"):
        call_command("mmsearch_reconcile", "--deep")


def test_what_was_removed_is_forgotten_after_a_day(sell: Sell) -> None:
    sell().images.get().delete()
    work()
    reconcile()
    assert Entry.objects.count() == 1
    Entry.objects.update(marked_at="2020-01-01T00:00Z")
    reconcile()
    assert Entry.objects.count() == 0


def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(sell: Sell) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert reconcile() == Drift()
        return len(queries)

    sell(pictures=1)
    work()
    few = count()
    sell("blue mug", pictures=20)
    work()
    assert count() == few


def test_pages_are_told_by_their_last_key_and_never_by_an_offset(
    sell: Sell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsearch_app.reconcile._CHUNK", 3)
    product = sell(pictures=0)
    ProductImage.objects.bulk_create(
        ProductImage(product=product, original="a.png") for _ in range(10)
    )
    with CaptureQueriesContext(connection) as queries:
        assert reconcile().changed == 10
    assert not [query["sql"] for query in queries if "OFFSET" in query["sql"]]


def test_the_media_rows_file_is_part_of_the_comparison() -> None:
    media = Media.objects.create(file=picture_file())
    Garment.objects.create(code="a", name="coat", photo=media)
    work()
    Media.objects.update(file="media/other.png")
    assert reconcile() == Drift(changed=1)


def test_reconciling_needs_neither_the_model_nor_the_index(
    sell: Sell, index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = sell(pictures=0)
    ProductImage.objects.bulk_create([ProductImage(product=product, original="a.png")])
    index.away = True
    monkeypatch.setattr(type(get_embedder()), "embed_documents", pytest.fail)
    assert reconcile() == Drift(changed=1)


def test_an_entry_that_failed_to_be_read_is_not_a_difference_while_it_waits(
    sell: Sell, embedder: Any
) -> None:
    add_picture(sell(pictures=0), "black")
    work()
    assert reconcile() == Drift()
    make_due()
    assert Entry.objects.get().attempts == 1
    assert not Rebuild.objects.exists()
