"""With database replicas, indexing reads from the primary, since a replica may lag behind."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from example_shop.models import Category, ProductImage
from mmsearch_app import Filter, ImageSource, mark
from mmsearch_app.backends import get_index
from mmsearch_app.indexing.rebuild import rebuild_index
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.models import Entry, Rebuild
from mmsearch_app.sources.base import from_primary
from mmsearch_app.testing import registered
from tests.gadgets import tree
from tests.shapes.gadgets import Gadget
from tests.shapes.models import Poster, Tag
from tests.shop import Sell, entry, held, picture_file, work

pytestmark = pytest.mark.django_db


class LostReplica:
    """A database router that sends every read to a database that does not exist."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **_: Any) -> str:
        return "default"

    def allow_relation(self, *_: Any, **__: Any) -> bool:
        return True


@pytest.fixture
def lost_replica(settings: Any) -> Any:
    """Call this after stocking the shop: from then on, reads from a replica fail."""

    def switch() -> None:
        settings.DATABASE_ROUTERS = [f"{__name__}.LostReplica"]

    return switch


def test_an_image_with_its_filters_is_indexed_from_the_primary(
    sell: Sell, lost_replica: Any
) -> None:
    product = sell(pictures=2)
    product.categories.add(Category.objects.create(name="Mugs", slug="mugs"))
    lost_replica()
    assert work().indexed == 2


def test_the_categories_above_are_read_from_the_primary(lost_replica: Any) -> None:
    class Sorted(ImageSource):
        name = "sorted"
        image = "picture"
        filters: ClassVar = {"topic": Filter("topics.slug", ancestors="parent")}

    with registered(Sorted(Gadget)):
        gadget = Gadget.objects.create(name="red gadget", picture=picture_file())
        gadget.topics.set(tree("home", "kitchen")[1:])
        lost_replica()
        assert work().indexed == 1
    assert [values for _, values in stored_filters()] == [{"topic": ['"home"', '"kitchen"']}]


def stored_filters() -> list[tuple[str, Any]]:
    index: Any = get_index()
    shelf = index._shelves[index._live]
    return [(key, facets["texts"]) for key, (_, facets) in shelf.records.items()]


def test_a_save_of_the_product_finds_its_images_on_the_primary(
    sell: Sell, lost_replica: Any
) -> None:
    product = sell(pictures=2)
    work()
    lost_replica()
    product.save()
    mark(product)
    assert Entry.objects.filter(due_at__isnull=False).count() == 2


@pytest.mark.parametrize("turned", [False, True])
def test_a_cleared_link_is_found_on_the_primary(lost_replica: Any, turned: bool) -> None:
    poster = Poster.objects.create(name="sea", picture=picture_file())
    tag = Tag.objects.create(name="calm")
    poster.tags.add(tag)
    work()
    lost_replica()
    if turned:
        tag.posters.clear()
    else:
        poster.tags.clear()
    assert entry(poster).due_at is not None


def test_a_rebuild_and_a_reconcile_read_the_primary_alone(sell: Sell, lost_replica: Any) -> None:
    sell(pictures=3)
    work()
    lost_replica()
    rebuild_index()
    assert reconcile(deep=True, files=True).changed == 3
    work()
    assert reconcile() == Drift()
    assert len(held()) == 3


def test_the_ledger_is_read_from_the_primary(sell: Sell, lost_replica: Any) -> None:
    sell()
    lost_replica()
    assert Entry.objects.count() == 1
    assert not Rebuild.objects.filter(open=True).exists()


def test_a_queryset_that_names_its_database_is_read_from_it(sell: Sell) -> None:
    sell()
    assert from_primary(ProductImage.objects.using("archive")).db == "archive"
    assert from_primary(ProductImage.objects.all()).db == "default"
