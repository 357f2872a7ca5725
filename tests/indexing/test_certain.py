"""After any interleaving of edits, workers and deaths, the index gets the right vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from example_shop.models import Product
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.conf import get_settings
from mmsearch_app.images import open_image
from mmsearch_app.indexing import documents, ledger
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.indexing.worker import drain
from mmsearch_app.inference import Content
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import registry
from mmsearch_app.testing import TestingEmbedder
from tests.shop import IMAGES, EmbedderWithMoods, Sell, entry, held, work
from tests.shop_kit import vector_of

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["memory", "milvus-lite"])
def moody(
    request: pytest.FixtureRequest, use: Callable[..., None], tmp_path: Path
) -> Iterator[EmbedderWithMoods]:
    """An embedder that tests interrupt, before an index in memory or a file of Milvus Lite."""
    lite = {
        "BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex",
        "OPTIONS": {"uri": tmp_path / "index.db"},
    }
    keys = {"INDEX": lite} if request.param == "milvus-lite" else {}
    use(EMBEDDER={"BACKEND": "tests.shop.EmbedderWithMoods"}, **keys)
    found = get_embedder()
    assert isinstance(found, EmbedderWithMoods)
    yield found
    get_index().close()


def retitle(product: Product, title: str) -> None:
    product.title = title
    product.save()


def is_right(product: Product) -> bool:
    """Whether the index contains the vector of the product's image and title as they are now."""
    image = product.images.get()
    opened = open_image(image.original, **get_settings().stored_caps)
    content = Content(image=opened, text=registry.get(IMAGES).get_title(image))
    right = TestingEmbedder().embed_documents([content])
    return bool(np.allclose(vector_of(image), right[0], atol=1e-5))


def once(act: Callable[[], object], moody: EmbedderWithMoods) -> None:
    """Do something while the next batch is embedded."""

    def before() -> None:
        moody.before = None
        act()

    moody.before = before


def test_an_edit_that_is_undone_while_a_worker_embeds_it(
    sell: Sell, moody: EmbedderWithMoods
) -> None:
    mug = sell("red mug")
    work()
    retitle(mug, "zebra mug")
    once(lambda: retitle(mug, "red mug"), moody)
    work()
    assert is_right(mug)
    assert reconcile(deep=True) == Drift()


def test_an_edit_that_is_undone_after_a_worker_died_before_it_recorded_what_it_wrote(
    sell: Sell, moody: EmbedderWithMoods, monkeypatch: pytest.MonkeyPatch
) -> None:
    mug = sell("red mug")
    work()
    retitle(mug, "zebra mug")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "finish", die)
        patch.setattr(ledger, "release", die)
        with pytest.raises(KeyboardInterrupt):
            drain()
    retitle(mug, "red mug")
    Entry.objects.update(lease_until=None)
    work()
    assert is_right(mug)
    assert reconcile(deep=True) == Drift()


def die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("signal", [True, False])
def test_a_worker_that_slept_past_its_lease_and_writes_late(
    sell: Sell, moody: EmbedderWithMoods, *, signal: bool
) -> None:
    """The undo may send no signal: then both workers work on the same version of the entry."""
    mug = sell("red mug")
    work()
    retitle(mug, "zebra mug")

    def sleep() -> None:
        Entry.objects.filter(lease_until__isnull=False).update(lease_until=None)
        if signal:
            retitle(mug, "red mug")
        else:
            Product.objects.filter(pk=mug.pk).update(title="red mug")
        work()
        assert is_right(mug)
        assert entry(mug.images.get()).state == State.INDEXED

    once(sleep, moody)
    mug.refresh_from_db()
    work()
    mug.refresh_from_db()
    assert is_right(mug)
    assert reconcile(deep=True) == Drift()


def test_a_worker_that_slept_past_its_lease_and_deletes_late(
    sell: Sell, moody: EmbedderWithMoods, monkeypatch: pytest.MonkeyPatch
) -> None:
    mug = sell("red mug", price=10)
    work()
    image = mug.images.get()
    name, image.original = image.original, ""
    image.save()
    sort_readings = documents.sort_readings

    def sleep(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        prepared = sort_readings(*args, **options)
        Entry.objects.filter(lease_until__isnull=False).update(lease_until=None)
        image.original = name
        image.save()
        work()
        assert held() == [entry(image).key]
        return prepared

    monkeypatch.setattr(documents, "sort_readings", sleep)
    work()
    assert held() == [entry(image).key]
    assert is_right(mug)
    assert reconcile(deep=True) == Drift()


def test_a_worker_that_lost_its_lease_neither_frees_nor_fails_what_another_one_claimed(
    sell: Sell,
) -> None:
    sell("red mug")
    late = ledger.claim(1)
    Entry.objects.update(lease_until=None)
    (punctual,) = ledger.claim(1)
    ledger.fail(late, "broken")
    ledger.release(late, wait=60)
    found = Entry.objects.get()
    assert (found.lease, found.lease_until) == (punctual.lease, punctual.lease_until)
    assert (found.attempts, found.due_at) == (0, punctual.due_at)


def test_a_vector_of_another_version_is_found_by_a_deep_reconcile_and_replaced(
    sell: Sell, moody: EmbedderWithMoods
) -> None:
    """As if a worker had slept past its lease, written late and died at once."""
    mug, cup = sell("red mug"), sell("blue cup")
    work()
    live = get_index().live()
    assert live is not None
    (claimed,) = Entry.objects.filter(object_pk=mug.images.get().pk)
    Product.objects.filter(pk=mug.pk).update(title="zebra mug")
    (document,) = documents.prepare([claimed]).documents
    (vector,) = moody.embed_documents([document.content])
    get_index().upsert([document.record(vector)], generation=live.name)
    Product.objects.filter(pk=mug.pk).update(title="red mug")
    assert not is_right(mug)
    assert reconcile() == Drift()
    assert reconcile(deep=True) == Drift(lost=1)
    work()
    assert is_right(mug)
    assert is_right(cup)
    assert reconcile(deep=True) == Drift()


def test_an_image_whose_price_alone_changed_keeps_its_vector(
    sell: Sell, moody: EmbedderWithMoods
) -> None:
    mug = sell("red mug")
    work()
    mug.price = 99
    mug.save()
    assert work().indexed == 1
    assert moody.documents == 1
    assert is_right(mug)
