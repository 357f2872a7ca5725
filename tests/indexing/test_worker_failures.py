"""A failure stops nothing else, and is retried."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsearch_app import ImageSource
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, State
from mmsearch_app.testing import registered
from tests.shapes.models import Poster
from tests.shop import (
    CountingEmbedder,
    EmbedderWithMoods,
    Sell,
    add_picture,
    entry,
    held,
    make_due,
    picture_file,
    work,
)

pytestmark = pytest.mark.django_db


def test_a_save_during_an_outage_of_the_index_succeeds_and_is_indexed_later(
    sell: Sell, index: Any
) -> None:
    sell()
    work()
    index.down = True
    image = sell("blue mug").images.get()
    drained = drain()
    assert "cannot be reached" in drained.problem
    assert entry(image).attempts == 0
    index.down = False
    make_due()
    assert work().indexed == 1
    assert len(held()) == 2


def test_a_delete_during_an_outage_of_the_index_succeeds_and_is_done_later(
    sell: Sell, index: Any
) -> None:
    image = sell().images.get()
    work()
    index.down = True
    image.delete()
    assert drain().problem
    index.down = False
    assert len(held()) == 1
    make_due()
    assert work().removed == 1
    assert held() == []


def test_nothing_fails_for_good_during_a_long_outage(sell: Sell, index: Any, use: Any) -> None:
    image = sell().images.get()
    index.down = True
    for _ in range(20):
        make_due()
        drain()
    found = entry(image)
    assert (found.state, found.attempts) == (State.PENDING, 0)
    assert "cannot be reached" in found.error


@pytest.mark.parametrize("pictures", [1, 2, 5])
def test_an_outage_of_the_embedder_does_not_count_as_an_attempt(
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
def test_images_that_break_the_embedder_do_not_stop_the_others(
    sell: Sell, embedder: EmbedderWithMoods, bad: int
) -> None:
    product = sell(pictures=0)
    broken = [add_picture(product, "black", side=32 + n) for n in range(bad)]
    fine = [add_picture(product, "red", side=32 + n) for n in range(2)]
    drained = work()
    assert (drained.indexed, drained.failed) == (2, bad)
    assert {entry(image).state for image in fine} == {State.INDEXED}
    assert {entry(image).attempts for image in broken} == {1}
    assert "cannot embed this image" in entry(broken[0]).error


def test_a_batch_of_bad_images_fails_after_all_attempts(
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
def test_an_embedder_that_breaks_its_contract_is_reported_and_nothing_is_written(
    sell: Sell, embedder: EmbedderWithMoods, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def spoil(contents: Any) -> Any:
        vectors = CountingEmbedder.embed_documents(embedder, contents)
        return {"shape": vectors[:, :-1], "nan": vectors * np.nan, "length": vectors * 3}[fault]

    monkeypatch.setattr(embedder, "embed_documents", spoil)
    sell()
    assert "EmbedderWithMoods returned" in drain().problem
    assert held() == []


def test_a_file_that_its_storage_does_not_deliver_is_tried_again_later(
    sell: Sell, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, fine = sell().images.get(), sell("blue mug").images.get()
    storage: Any = image.original.storage.__class__
    deliver = storage._open

    def fail_for_one(self: Any, name: str, mode: str = "rb") -> Any:
        if name == image.original.name:
            raise RuntimeError("500 Internal Server Error")
        return deliver(self, name, mode)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_open", fail_for_one)
        drained = work()
    assert (drained.indexed, drained.failed) == (1, 1)
    assert entry(fine).state == State.INDEXED
    found = entry(image)
    assert (found.state, found.attempts) == (State.PENDING, 1)
    assert found.error == "RuntimeError: 500 Internal Server Error"
    make_due()
    assert work().indexed == 1


class Titled(ImageSource):
    name = "titled"
    image = "picture"
    title = "headline"


def test_a_property_that_raises_does_not_stop_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
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
