"""Milvus servers: several processes, outages, secrets."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmsearch_app.indexes.base import Generation, IndexRefused, IndexUnavailable
from mmsearch_app.indexes.milvus import MilvusIndex
from tests.indexes.conftest import LiteServer, opened
from tests.indexes.kit import record, records, run_python, unit, units

WRITE = """
import sys
from mmsearch_app.indexes.milvus import MilvusIndex
from tests.indexes.kit import records
uri, collection, name, prefix = sys.argv[1:]
index = MilvusIndex(uri=uri, collection=collection)
for start in range(0, 600, 50):
    index.upsert(records(600, prefix=prefix)[start:start + 50], generation=name)
"""


@pytest.fixture(params=("lite-server", "milvus"))
def index(
    request: pytest.FixtureRequest, uri_of: Callable[[str], str | Path]
) -> Iterator[MilvusIndex]:
    with opened(uri_of(request.param)) as index:
        yield index


@pytest.fixture
def generation(index: MilvusIndex) -> Generation:
    return index.create(fingerprint="model@1", dimension=4)


def test_a_server_is_shared(index: MilvusIndex) -> None:
    assert index.shared


def test_only_milvus_lite_has_a_single_writer(lite_server_uri: str, milvus_uri: str) -> None:
    answers = []
    for uri in (lite_server_uri, milvus_uri):
        with opened(uri) as index:
            answers.append(index.single_writer)
    assert answers == [True, False]


def test_a_promotion_elsewhere_is_seen_at_once(index: MilvusIndex) -> None:
    old, new = (index.create(fingerprint="model@1", dimension=4) for _ in range(2))
    index.promote(old.name)
    assert index.live() == old
    with opened(index._connection._options["uri"], collection=index.collection) as other:
        other.promote(new.name)
    assert index.live() == new


def test_three_processes_write_to_milvus_concurrently_and_lose_nothing(milvus_uri: str) -> None:
    with opened(milvus_uri) as index:
        name = index.create(fingerprint="model@1", dimension=4).name
        threads = [
            threading.Thread(
                target=run_python, args=(WRITE, milvus_uri, index.collection, name, prefix)
            )
            for prefix in "abc"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = {r.id for prefix in "abc" for r in records(600, prefix=prefix)}
        assert set(dict(index.contents(generation=name))) == expected


def test_rows_that_milvus_has_sealed_and_indexed_are_found_alike(milvus_uri: str) -> None:
    with opened(milvus_uri, consistency="Strong") as index:
        generation = index.create(fingerprint="model@1", dimension=16)
        stored = [
            record(f"r{n:05}", vector, product=f"p{n // 5}", price=n)
            for n, vector in enumerate(units(3000, dimension=16))
        ]
        index.upsert(stored, generation=generation.name)
        for _ in index.settle(generation=generation.name):
            time.sleep(0.2)
        matches = index.search(stored[7].vector, generation=generation.name, limit=600)
        assert len(matches) == 600
        assert matches[0].id == "r00007"
        assert index.count(generation=generation.name) == 3000
        assert list(dict(index.contents(generation=generation.name))) == [r.id for r in stored]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_its_own_connection(
    index: MilvusIndex, generation: Generation
) -> None:
    index.upsert([record("a")], generation=generation.name)
    child = os.fork()
    if child == 0:
        try:
            index.upsert([record("b")], generation=generation.name)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert set(dict(index.contents(generation=generation.name))) == {"a", "b"}


def test_a_foreign_collection_of_that_name_is_refused_and_kept(index: MilvusIndex) -> None:
    client = index._connection
    client.call("create_collection", index.collection, dimension=4)
    generation = index.create(fingerprint="model@1", dimension=4)
    for use in (index.live, lambda: index.promote(generation.name)):
        with pytest.raises(IndexRefused, match="Rename it or set"):
            use()
    assert client.call("has_collection", index.collection)
    client.call("drop_collection", index.collection)


def test_a_collection_that_is_not_a_generation_is_never_dropped(index: MilvusIndex) -> None:
    client = index._connection
    name = f"{index.collection}_of_the_shop"
    client.call("create_collection", name, dimension=4)
    with pytest.raises(ValueError, match="nothing was dropped"):
        index.drop(name)
    assert client.call("has_collection", name)
    client.call("drop_collection", name)


def test_an_unreachable_address_fails_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    index = MilvusIndex(uri=f"http://127.0.0.1:{port}", timeout=0.5)
    with pytest.raises(IndexUnavailable, match=f"127.0.0.1:{port}.* Is it running"):
        index.live()


def test_a_server_that_never_answers_fails_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        index = MilvusIndex(uri=f"http://127.0.0.1:{mute.getsockname()[1]}", timeout=0.5)
        with pytest.raises(IndexUnavailable):
            index.live()


def test_a_server_that_hangs_fails_within_the_timeout(lite_server: LiteServer) -> None:
    index = MilvusIndex(uri=lite_server.uri, timeout=300)
    generation = index.create(fingerprint="model@1", dimension=4)
    index._connection.timeout = 0.5
    lite_server.process.send_signal(signal.SIGSTOP)
    try:
        for use in (
            lambda: index.search(unit(1, 0, 0, 0), generation=generation.name, limit=1),
            lambda: index.upsert([record("a")], generation=generation.name),
            lambda: index.count(generation=generation.name),
        ):
            with pytest.raises(IndexUnavailable):
                use()
    finally:
        lite_server.process.send_signal(signal.SIGCONT)
    index._connection.timeout = 300
    assert index.live() is None
    index.close()


def test_after_an_outage_the_next_call_works(lite_server: LiteServer) -> None:
    index = MilvusIndex(uri=lite_server.uri, timeout=300)
    generation = index.create(fingerprint="model@1", dimension=4)
    index.upsert([record("a")], generation=generation.name)
    lite_server.stop()
    index._connection.timeout = 0.5
    with pytest.raises(IndexUnavailable, match="Is it running"):
        index.count(generation=generation.name)
    index._connection.timeout = 300
    lite_server.start()
    assert index.search(unit(1, 0, 0, 0), generation=generation.name, limit=1)[0].id == "a"
    assert index.stored(["a"], generation=generation.name).keys() == {"a"}
    index.close()


def test_errors_show_no_secret(lite_server: LiteServer) -> None:
    address = lite_server.uri.removeprefix("http://")
    index = MilvusIndex(uri=f"http://root:hunter2@{address}", token="hunter3", timeout=300)
    told = [index.describe(), repr(index)]
    index._connection.timeout = 0.5
    lite_server.process.send_signal(signal.SIGSTOP)
    with pytest.raises(IndexUnavailable) as refused:
        index.live()
    lite_server.process.send_signal(signal.SIGCONT)
    told.append(str(refused.value))
    index.close()
    for text in told:
        assert "hunter" not in text
    assert address in told[0]
