"""A real Milvus server whose collection, alias or content is lost while a shop uses it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mmsearch_app.backends import get_index
from mmsearch_app.indexes import Record
from mmsearch_app.indexing import stamps, watch
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import KnownIndex
from tests.indexing.rebuilding import live
from tests.indexing.test_certain import is_right, retitle
from tests.indexing.test_watch import drop_alias, drop_collection, empty_collection, make_foreign
from tests.shop import Sell, held, make_due, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def mugs(milvus_uri: str, use: Callable[..., None], sell: Sell) -> Any:
    use(
        EMBEDDER={"BACKEND": "tests.shop.CountingEmbedder"},
        INDEX={
            "BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex",
            "OPTIONS": {
                "uri": milvus_uri,
                "collection": f"lost_{uuid.uuid4().hex}",
                "timeout": 300.0,
                "consistency": "Strong",
            },
        },
    )
    made = [sell(f"{colour} mug") for colour in ("red", "green")]
    work()
    yield made
    get_index().close()


def later() -> None:
    watch._watch.next = 0
    stamps.forget()


@pytest.mark.parametrize("lose", [drop_collection, empty_collection])
def test_a_lost_index_is_filled_again_by_an_idle_worker(
    mugs: Any, lose: Callable[[], None]
) -> None:
    keys = held()
    lose()
    later()
    assert work().indexed == 2
    assert held() == keys
    assert reconcile(deep=True) == Drift()


def test_an_alias_is_pointed_back(mugs: Any) -> None:
    before = live()
    drop_alias()
    later()
    assert work().indexed == 0
    assert live() == before


def test_an_older_index_is_compared_and_a_copy_of_the_database_is_refused(mugs: Any) -> None:
    """The server cannot be restored here: its stamp and a vector are set back instead."""
    old, name = get_index().stamp(generation=live()), live()
    key = sorted(held())[0]
    before = get_index().stored([key], generation=name)[key]
    retitle(mugs[0], "zebra mug")
    later()
    work()
    document = KnownIndex.objects.get()
    assert document.stamp != old
    get_index().upsert(
        [
            Record(
                id=key,
                product=str(mugs[0].pk),
                source=key.partition(":")[0],
                vector=before.vector,
                content=before.content,
            )
        ],
        generation=name,
    )
    get_index().restamp(old, generation=name)
    assert not is_right(mugs[0])
    later()
    assert work().indexed == 1
    assert is_right(mugs[0])
    KnownIndex.objects.update(stamp=document.stamp, coming="", number=document.number)
    later()
    make_due()
    assert "another copy" in drain().problem


def test_another_projects_collection_is_refused(mugs: Any) -> None:
    drop_alias()
    alias = get_index().collection  # type: ignore[attr-defined]
    make_foreign(f"theirs_{uuid.uuid4().hex}", alias=alias)
    with pytest.raises(CommandError, match=r"embedding \(7 dimensions\)"):
        call_command("mmsearch_reindex")
