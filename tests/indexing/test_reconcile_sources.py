"""Reconcile compares rows of every kind of source and key, or of the named source only."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from example_shop.models import ProductImage
from mmsearch_app import ImageSource
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.models import State
from mmsearch_app.testing import registered
from tests.shapes.models import Attachment, CheapPoster, FramedPoster, Garment, Media, Poster
from tests.shop import IMAGES, Sell, entry, held, picture_file, work

pytestmark = pytest.mark.django_db


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


def test_a_source_of_a_proxy_is_compared() -> None:
    with registered(Framed(CheapPoster)):
        Poster.objects.bulk_create([Poster(name="sea", picture="a.png")])
        assert reconcile("shapes.cheapposter") == Drift(changed=1)


def test_only_the_named_source_is_compared(sell: Sell) -> None:
    product = sell(pictures=0)
    ProductImage.objects.bulk_create([ProductImage(product=product, original="a.png")])
    Poster.objects.bulk_create([Poster(name="sea", picture="a.png")])
    assert reconcile("shapes.poster") == Drift(changed=1)
    assert reconcile(IMAGES) == Drift(changed=1)


def test_an_unknown_source_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(CommandError, match=r"No image source is called 'nope'.*productimage"):
        call_command("mmsearch_reconcile", "nope")


def test_entries_of_a_source_that_is_no_longer_registered_are_removed() -> None:
    with registered(Framed(FramedPoster)):
        FramedPoster.objects.create(name="sea", picture=picture_file(), frame="oak")
        work()
    assert reconcile() == Drift(gone=1)


def test_a_named_reconcile_leaves_the_other_sources_alone(sell: Sell) -> None:
    sell()
    work()
    assert reconcile("shapes.poster") == Drift()
    assert len(held()) == 1


def test_the_media_rows_file_is_part_of_the_comparison() -> None:
    media = Media.objects.create(file=picture_file())
    Garment.objects.create(code="a", name="coat", photo=media)
    work()
    Media.objects.update(file="media/other.png")
    assert reconcile() == Drift(changed=1)
