"""What a save, a delete or a changed link leaves in the ledger."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.core import serializers
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from example_shop.models import Category, Product, ProductImage
from mmsearch_app import ImageSource, ledger, mark, poke, signals
from mmsearch_app.models import Entry, State
from mmsearch_app.reconcile import reconcile
from mmsearch_app.testing import registered
from tests.core.conftest import IMAGES, Sell, add_picture, entry, held, picture_file, work
from tests.shapes.models import (
    Attachment,
    CheapPoster,
    Exhibition,
    FramedPoster,
    Garment,
    Media,
    Poster,
    Tag,
)

pytestmark = pytest.mark.django_db


def due() -> set[str]:
    """Keys of the entries that wait."""
    return {found.key for found in Entry.objects.filter(due_at__isnull=False)}


def settle() -> None:
    """Let nothing wait any more, without any work."""
    Entry.objects.update(due_at=None, state=State.INDEXED)


def test_a_save_marks_one_entry_as_wanted_and_due(sell: Sell) -> None:
    image = add_picture(sell(pictures=0))
    assert Entry.objects.count() == 1
    found = entry(image)
    assert (found.source, found.present, found.state) == (IMAGES, True, State.PENDING)
    assert found.due_at is not None


def test_many_saves_are_one_entry_with_a_new_version_each_time(sell: Sell) -> None:
    image = add_picture(sell(pictures=0))
    versions = {entry(image).wanted}
    for _ in range(3):
        image.save()
        versions.add(entry(image).wanted)
    assert Entry.objects.count() == 1
    assert len(versions) == 4


def test_a_rollback_leaves_nothing(sell: Sell) -> None:
    product = sell(pictures=0)
    with pytest.raises(RuntimeError), transaction.atomic():
        add_picture(product)
        assert Entry.objects.count() == 1
        raise RuntimeError
    assert not Entry.objects.exists()


def test_a_delete_that_is_rolled_back_keeps_the_entry_wanted(sell: Sell) -> None:
    image = sell().images.get()
    with pytest.raises(RuntimeError), transaction.atomic():
        image.delete()
        raise RuntimeError
    assert entry(ProductImage.objects.get()).present


def test_a_save_costs_one_query_more(sell: Sell) -> None:
    image = sell().images.get()
    with CaptureQueriesContext(
        connection,
    ) as with_search:
        image.save()
    with _deaf(ProductImage), CaptureQueriesContext(connection) as without:
        image.save()
    assert len(with_search) - len(without) == 1


class _deaf:
    """No handler of the search listens to a model inside the block."""

    def __init__(self, model: Any) -> None:
        self.uid = f"mmsearch_app.{model._meta.label_lower}"
        self.model = model

    def __enter__(self) -> None:
        assert signals.post_save.disconnect(sender=self.model, dispatch_uid=self.uid)

    def __exit__(self, *_: Any) -> None:
        signals.connect()


def test_saving_what_others_depend_on_costs_two_queries_more(sell: Sell) -> None:
    product = sell(pictures=3)
    with CaptureQueriesContext(connection) as with_search:
        product.save()
    with _deaf(Product), CaptureQueriesContext(connection) as without:
        product.save()
    assert len(with_search) - len(without) == 2


def test_a_model_that_is_not_registered_costs_nothing(db: None) -> None:
    category = Category(name="Mugs", slug="mugs")
    with CaptureQueriesContext(connection) as queries:
        category.save()
    assert len(queries) == 1
    assert not Entry.objects.exists()


def test_connecting_twice_marks_once(sell: Sell) -> None:
    signals.connect()
    image = sell().images.get()
    with CaptureQueriesContext(connection) as queries:
        image.save()
    assert sum("INSERT INTO" in query["sql"] for query in queries) == 1


def test_a_raw_fixture_is_ignored_and_found_by_reconcile(sell: Sell) -> None:
    image = sell().images.get()
    text = serializers.serialize("json", [image])
    image.delete()
    work()
    for loaded in serializers.deserialize("json", text):
        loaded.save()
    assert not entry(ProductImage.objects.get()).present
    assert reconcile().changed == 1
    assert entry(ProductImage.objects.get()).present


def test_a_save_of_the_product_marks_its_pictures(sell: Sell) -> None:
    mug, _other = sell(pictures=2), sell("blue mug")
    settle()
    mug.save()
    assert due() == {f"{IMAGES}:{image.pk}" for image in mug.images.all()}


def test_deleting_the_product_marks_its_pictures_as_gone(sell: Sell) -> None:
    sell(pictures=2).delete()
    assert [found.present for found in Entry.objects.all()] == [False, False]


def test_deleting_a_queryset_marks_every_row_as_gone(sell: Sell) -> None:
    sell(pictures=3)
    ProductImage.objects.all().delete()
    assert Entry.objects.filter(present=False).count() == 3


def test_a_save_of_the_media_row_marks_everything_that_shares_it(db: None) -> None:
    media = Media.objects.create(file=picture_file())
    for code in ("a", "b"):
        Garment.objects.create(code=code, name=code, photo=media)
    settle()
    media.save()
    assert due() == {"shapes.garment:a", "shapes.garment:b"}


def test_deleting_the_media_row_marks_what_used_it_although_the_link_is_gone(db: None) -> None:
    garment = Garment.objects.create(
        code="a", name="coat", photo=Media.objects.create(file=picture_file())
    )
    work()
    assert held() == ["shapes.garment:a"]
    Media.objects.get().delete()
    garment.refresh_from_db()
    assert garment.photo is None
    assert due() == {"shapes.garment:a"}
    work()
    assert held() == []
    assert entry(garment).state == State.EMPTY


def test_a_uuid_is_kept_without_dashes(db: None) -> None:
    poster = Poster.objects.create(name="sea", picture=picture_file())
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


def test_a_save_of_a_subclass_marks_the_row_of_its_parent(db: None) -> None:
    framed = FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
    assert due() == {f"shapes.poster:{framed.pk.hex}"}


def test_a_delete_of_a_subclass_marks_the_row_of_its_parent_as_gone(db: None) -> None:
    framed = FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
    framed.delete()
    assert not Entry.objects.get().present


def test_a_save_through_a_proxy_marks_the_row(db: None) -> None:
    poster = CheapPoster.objects.create(name="sea", picture=picture_file())
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


def test_a_source_of_a_proxy_hears_of_saves_through_the_concrete_model(db: None) -> None:
    class Cheap(ImageSource):
        image = "picture"

    with registered(Cheap(CheapPoster)):
        poster = Poster.objects.create(name="sea", picture=picture_file())
        assert f"shapes.cheapposter:{poster.pk.hex}" in due()


@pytest.mark.parametrize("turned", [False, True])
def test_adding_a_tag_marks_the_poster_from_either_end(turned: bool) -> None:
    poster, tag = _poster(), Tag.objects.create(name="sea")
    settle()
    tag.posters.add(poster) if turned else poster.tags.add(tag)
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


@pytest.mark.parametrize("turned", [False, True])
def test_removing_a_tag_marks_the_poster_from_either_end(turned: bool) -> None:
    poster, tag = _poster(), Tag.objects.create(name="sea")
    poster.tags.add(tag)
    settle()
    tag.posters.remove(poster) if turned else poster.tags.remove(tag)
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


@pytest.mark.parametrize("turned", [False, True])
def test_clearing_tags_marks_the_poster_from_either_end(turned: bool) -> None:
    poster, tag = _poster(), Tag.objects.create(name="sea")
    poster.tags.add(tag)
    settle()
    tag.posters.clear() if turned else poster.tags.clear()
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


def _poster(name: str = "sea") -> Poster:
    return Poster.objects.create(name=name, picture=picture_file())


class Exhibited(ImageSource):
    name = "exhibited"
    image = "picture"
    filters: ClassVar = {"exhibition": "exhibitions.title"}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("action", ["add", "remove", "clear"])
def test_a_link_that_is_declared_on_the_other_side_counts_as_well(
    action: str, turned: bool
) -> None:
    with registered(Exhibited(Poster)):
        poster, _other = _poster(), _poster("moon")
        show = Exhibition.objects.create(title="Waves")
        if action != "add":
            show.posters.add(poster)
        settle()
        links, end = (poster.exhibitions, show) if turned else (show.posters, poster)
        getattr(links, action)(*([] if action == "clear" else [end]))
        assert due() == {f"exhibited:{poster.pk.hex}"}


def test_a_link_of_a_related_model_marks_the_rows_behind_it(sell: Sell) -> None:
    mug, _other = sell(), sell("blue mug")
    settle()
    mug.categories.add(Category.objects.create(name="Mugs", slug="mugs"))
    assert due() == {f"{IMAGES}:{mug.images.get().pk}"}


def test_renaming_what_a_filter_shows_marks_the_rows_that_depend_on_it(db: None) -> None:
    poster, tag = _poster(), Tag.objects.create(name="sea")
    poster.tags.add(tag)
    settle()
    tag.save()
    assert due() == {f"shapes.poster:{poster.pk.hex}"}


def test_marking_a_row_by_hand_marks_it(sell: Sell) -> None:
    image = sell().images.get()
    settle()
    assert mark(image) == 1
    assert due() == {f"{IMAGES}:{image.pk}"}


def test_marking_a_queryset_marks_all_its_rows_and_no_other(sell: Sell) -> None:
    mug, _other = sell(pictures=3), sell("blue mug")
    settle()
    assert mark(ProductImage.objects.filter(product=mug)) == 3
    assert len(due()) == 3


def test_marking_a_queryset_of_what_others_depend_on_marks_those(sell: Sell) -> None:
    sell(pictures=2)
    settle()
    assert mark(Product.objects.all()) == 2


def test_marking_a_model_that_is_not_registered_says_which_ones_are(db: None) -> None:
    with pytest.raises(
        ValueError, match=r"example_shop\.Category is not registered .*ProductImage"
    ):
        mark(Category.objects.all())


def test_marking_many_rows_takes_one_statement_for_many_of_them(sell: Sell) -> None:
    product = sell(pictures=0)
    ProductImage.objects.bulk_create(ProductImage(product=product) for _ in range(1001))
    with CaptureQueriesContext(connection) as queries:
        assert mark(ProductImage.objects.all()) == 1001
    in_one = 500 if connection.vendor == "postgresql" else 999 // len(Entry._meta.fields)
    statements = sum("INSERT INTO" in query["sql"] for query in queries)
    assert statements <= 1001 / in_one + 3


def test_every_listener_is_told_once_after_the_commit(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[int] = []
    product = sell(pictures=0)
    monkeypatch.setattr(poke, "listeners", [lambda: told.append(1)])
    with django_capture_on_commit_callbacks(execute=True):
        for side in (40, 41, 42):
            add_picture(product, side=side)
        assert told == []
    assert told == [1]


def test_nobody_is_told_of_what_is_rolled_back(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[int] = []
    product = sell(pictures=0)
    monkeypatch.setattr(poke, "listeners", [lambda: told.append(1)])
    commit = django_capture_on_commit_callbacks(execute=True)
    with commit, pytest.raises(RuntimeError), transaction.atomic():
        add_picture(product)
        raise RuntimeError
    assert told == []


def test_a_listener_that_fails_breaks_no_save(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def fail() -> None:
        raise ConnectionError("the broker is away")

    product = sell(pictures=0)
    monkeypatch.setattr(poke, "listeners", [fail])
    with django_capture_on_commit_callbacks(execute=True):
        add_picture(product)
    assert ProductImage.objects.count() == 1


def test_nothing_is_opened_or_read_by_a_save(sell: Sell, monkeypatch: pytest.MonkeyPatch) -> None:
    product = sell(pictures=0)
    image = ProductImage(product=product)
    image.original.name = "products/not-there.png"
    monkeypatch.setattr("socket.socket.connect", pytest.fail)
    image.save()
    assert entry(image).state == State.PENDING


def test_a_row_without_a_picture_is_marked_like_any_other(db: None) -> None:
    attachment = Attachment.objects.create()
    assert due() == {f"shapes.attachment:{attachment.pk}"}
    assert ledger.counts()["pending"] == 1
