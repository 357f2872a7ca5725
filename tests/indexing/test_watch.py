"""An index that is lost, emptied, older or somebody else's is noticed, and healed or refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pymilvus import DataType, MilvusClient

from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.health import examine
from mmsearch_app.indexing import stamps, watch
from mmsearch_app.indexing.rebuild import Rebuilder, request_rebuild
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, KnownIndex, Rebuild
from tests.indexing.rebuilding import live, names
from tests.indexing.test_certain import is_right, retitle
from tests.shop import CountingEmbedder, Sell, held, make_due, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def lite(use: Callable[..., None], tmp_path: Path) -> Iterator[Path]:
    """The file of the index in use: Milvus Lite, with an embedder that counts."""
    path = tmp_path / "index.db"
    use(
        EMBEDDER={"BACKEND": "tests.shop.CountingEmbedder"},
        INDEX={"BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex", "OPTIONS": {"uri": path}},
    )
    yield path
    get_index().close()


@pytest.fixture
def mugs(lite: Path, sell: Sell) -> Any:
    found = [sell(f"{colour} mug") for colour in ("red", "green", "blue")]
    work()
    return found


def embedder() -> CountingEmbedder:
    found = get_embedder()
    assert isinstance(found, CountingEmbedder)
    return found


def later() -> None:
    """Let this process look again at once, as after half a minute."""
    watch._watch.next = 0
    stamps.forget()


def client() -> Any:
    index: Any = get_index()
    return index._connection._open().client


def drop_alias() -> None:
    client().drop_alias(get_index().collection)  # type: ignore[attr-defined]


def drop_collection() -> None:
    name = live()
    drop_alias()
    client().drop_collection(name)


def empty_collection() -> None:
    get_index().delete(held(), generation=live())


def wipe() -> None:
    index: Any = get_index()
    path = index._connection.path
    index.close()
    shutil.rmtree(path)


LOSSES = [drop_collection, empty_collection, wipe]


@pytest.mark.parametrize("lose", LOSSES)
def test_an_idle_worker_notices_that_the_index_is_lost_and_fills_it_again(
    mugs: Any, lose: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    keys = held()
    lose()
    later()
    assert work().indexed == 3
    assert held() == keys
    assert len(names()) == 1
    assert all(map(is_right, mugs))
    assert KnownIndex.objects.get().healed in caplog.text
    later()
    assert work().indexed == 0


@pytest.mark.parametrize("lose", LOSSES)
def test_reconcile_reports_a_lost_index_and_repairs_it(
    mugs: Any, lose: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    lose()
    call_command("mmsearch_reconcile")
    assert "3 lost from the index" in capsys.readouterr().out
    assert work().indexed == 3
    assert len(held()) == 3
    assert reconcile(deep=True) == Drift()


@pytest.mark.parametrize("notice", [drain, reconcile], ids=["worker", "reconcile"])
def test_an_alias_that_is_gone_is_pointed_back_to_its_collection(
    mugs: Any, notice: Callable[[], Any]
) -> None:
    before, embedded = live(), embedder().documents
    get_index().create(fingerprint=get_embedder().fingerprint, dimension=get_embedder().dimension)
    drop_alias()
    assert get_index().live() is None
    later()
    notice()
    assert live() == before
    assert len(held()) == 3
    assert embedder().documents == embedded
    assert "points to" in KnownIndex.objects.get().healed


def test_a_rebuild_points_the_alias_back_first_so_that_visitors_find_something(mugs: Any) -> None:
    before = live()
    drop_alias()
    Rebuilder(request_rebuild()).step()
    assert live() == before


def test_a_generation_that_a_ledger_without_stamps_filled_is_found_again(mugs: Any) -> None:
    before = live()
    get_index().restamp("", generation=before)
    KnownIndex.objects.all().delete()
    get_index().create(fingerprint=get_embedder().fingerprint, dimension=get_embedder().dimension)
    drop_alias()
    later()
    work()
    assert live() == before


def test_an_index_restored_from_a_backup_is_compared_without_being_told(
    mugs: Any, lite: Path, tmp_path: Path, sell: Sell
) -> None:
    backup = tmp_path / "backup.db"
    get_index().close()
    shutil.copytree(lite, backup)
    retitle(mugs[0], "zebra mug")
    new = sell("green shirt")
    mugs[1].delete()
    later()
    work()
    right = held()
    get_index().close()
    shutil.rmtree(lite)
    shutil.copytree(backup, lite)
    assert held() != right
    later()
    assert work().indexed == 2
    assert held() == right
    assert all(map(is_right, (mugs[0], mugs[2], new)))
    assert reconcile(deep=True) == Drift()
    later()
    assert work().indexed == 0


def become_another_database() -> None:
    """As if this database had never seen the index."""
    KnownIndex.objects.all().delete()
    Entry.objects.all().delete()
    Rebuild.objects.all().delete()


def test_the_live_check_fails_for_an_index_that_another_database_fills(
    mugs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    become_another_database()
    with pytest.raises(CommandError, match="index"):
        call_command("mmsearch_check")
    assert "was filled from another database" in capsys.readouterr().out


def test_the_admin_and_the_health_check_say_what_is_being_repaired(
    mugs: Any, admin_client: Any
) -> None:
    page = "/admin/mmsearch_app/entry/"
    assert "contains 0 of 3 images" not in admin_client.get(page).content.decode()
    empty_collection()
    reconcile()
    assert "contains 0 of 3 images" in admin_client.get(page).content.decode()
    assert examine().indexing == "healing"
    work()
    assert "contains 0 of 3 images" not in admin_client.get(page).content.decode()
    assert examine().indexing == "ok"


def restore_database(known: Any) -> None:
    KnownIndex.objects.filter(pk=known["id"]).update(**known)


COMMANDS = [["mmsearch_reindex"], ["mmsearch_reconcile"], ["mmsearch_worker", "--once"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_index_that_another_database_fills_is_refused(
    mugs: Any, command: list[str], admin_client: Any
) -> None:
    before, keys = live(), held()
    become_another_database()
    later()
    with pytest.raises(CommandError, match="was filled from another database"):
        call_command(*command)
    assert (live(), held(), names()) == (before, keys, [before])
    assert "another database" in KnownIndex.objects.get().problem
    assert examine().indexing == "refused"
    assert "another database" in admin_client.get("/admin/mmsearch_app/entry/").content.decode()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_copy_of_the_database_may_not_write_to_the_index_of_the_original(
    mugs: Any, command: list[str]
) -> None:
    """A copy was made, and the original went on."""
    copied = KnownIndex.objects.values().get()
    retitle(mugs[0], "zebra mug")
    later()
    KnownIndex.objects.update(stamped_at=None)
    work()
    restore_database(copied)
    retitle(mugs[0], "copied mug")
    later()
    with pytest.raises(CommandError, match="newer state or from another copy"):
        call_command(*command)
    mugs[0].title = "zebra mug"
    assert is_right(mugs[0])


def test_the_original_notices_that_a_copy_took_its_index_over(mugs: Any) -> None:
    original = KnownIndex.objects.values().get()
    stamps.take_over()
    restore_database(original)
    later()
    assert "newer state or from another copy" in drain().problem


def test_a_database_restored_from_a_backup_takes_the_index_over_when_told(mugs: Any) -> None:
    backup = KnownIndex.objects.values().get()
    entry = Entry.objects.values().first()
    assert entry is not None
    retitle(mugs[0], "zebra mug")
    later()
    KnownIndex.objects.update(stamped_at=None)
    work()
    restore_database(backup)
    Entry.objects.filter(pk=entry["id"]).update(**entry)
    type(mugs[0]).objects.filter(pk=mugs[0].pk).update(title="red mug")
    call_command("mmsearch_reconcile", "--take-over")
    later()
    work()
    mugs[0].title = "red mug"
    assert is_right(mugs[0])
    assert KnownIndex.objects.get().problem == ""
    assert reconcile(deep=True) == Drift()


def test_reindex_takes_over_the_index_of_another_database_when_told(mugs: Any) -> None:
    become_another_database()
    later()
    call_command("mmsearch_reindex", "--take-over")
    assert len(held()) == 3
    assert examine().indexing == "ok"
    later()
    assert not drain().problem


def test_a_death_while_the_stamp_is_written_is_not_taken_for_another_writer(
    mugs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = get_index()
    restamp = index.restamp

    def restamp_and_die(text: str, *, generation: str) -> None:
        restamp(text, generation=generation)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index, "restamp", restamp_and_die)
        with pytest.raises(KeyboardInterrupt):
            stamps.renew_stamp()
    later()
    assert not drain().problem
    stamps.renew_stamp()
    later()
    assert not drain().problem


def make_foreign(name: str, *, alias: str = "") -> None:
    """A collection that another project made."""
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=7)
    get_index().live()
    client().create_collection(name, schema=schema)
    if alias:
        client().create_alias(name, alias)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_collection_of_another_project_behind_the_alias_is_refused(
    lite: Path, sell: Sell, command: list[str]
) -> None:
    sell()
    make_foreign("their_vectors", alias="product_images")
    with pytest.raises(CommandError) as caught:
        call_command(*command)
    said = str(caught.value)
    assert "'product_images' points to the collection 'their_vectors'" in said
    assert "embedding (7 dimensions)" in said
    assert "expected" in said
    assert client().describe_alias("product_images")["collection_name"] == "their_vectors"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_collection_of_another_project_under_the_name_is_refused(
    lite: Path, sell: Sell, command: list[str]
) -> None:
    sell()
    make_foreign("product_images")
    with pytest.raises(CommandError, match="A collection named 'product_images' exists"):
        call_command(*command)


def test_a_busy_worker_looks_at_the_stamp_now_and_then_and_not_for_each_batch(
    mugs: Any, sell: Sell, use: Callable[..., None]
) -> None:
    def count(batches: int) -> int:
        make_due()
        for mug in mugs[:batches]:
            mug.save()
        with CaptureQueriesContext(connection) as queries:
            drain(limit=batches)
        return len(queries)

    count(1)
    assert count(3) - count(1) <= 2 * 3 * 4


def test_a_collection_of_an_older_version_is_rebuilt_without_being_told(
    mugs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = get_index().live()
    assert found is not None
    monkeypatch.setattr(get_index(), "live", lambda: replace(found, keeps_content=False))
    later()
    work()
    assert Rebuild.objects.get().open
