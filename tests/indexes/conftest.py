"""The engines that indexes support, each started once."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.indexes.base import Generation, Index
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.indexes.milvus import MilvusIndex
from tests.indexes.kit import record
from tests.indexes.milvus_server import find_obstacle, serve
from tests.waiting import until

PATIENT = {"consistency": "Strong", "timeout": 300.0}
"""A machine may be busy."""
ENGINES = ("memory", "lite-file", "lite-server", "milvus")


class LiteServer:
    """`milvus-lite server` on the loopback; it can be stopped and started again."""

    def __init__(self, data: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1"]
        self._command += ["--port", str(port), "--data-dir", str(data)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: is_open(self._port))

    def stop(self) -> None:
        # Only SIGINT makes the server close its files.
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=120)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def lite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteServer]:
    """One to stop and to start again, for the tests of a module."""
    server = LiteServer(tmp_path_factory.mktemp("served"))
    yield server
    server.stop()


@pytest.fixture(scope="package")
def lite_server_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = LiteServer(tmp_path_factory.mktemp("served"))
    yield server.uri
    server.stop()


@pytest.fixture(scope="package")
def milvus_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Milvus server that only this machine can reach."""
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    with serve(tmp_path_factory.mktemp("milvus")) as uri:
        yield uri


@pytest.fixture(scope="package")
def uri_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str | Path]:
    """The address of an engine, which is started on first use; always a new file for Lite."""

    def uri(engine: str) -> str | Path:
        if engine == "lite-file":
            return tmp_path_factory.mktemp("lite") / "index.db"
        return str(request.getfixturevalue(f"{engine.replace('-', '_')}_uri"))

    return uri


def make_milvus(uri: str | Path, **options: object) -> MilvusIndex:
    """An index with a new collection, where a search finds what was just written."""
    collection = f"test_{uuid.uuid4().hex}"
    given: dict[str, Any] = {"uri": uri, "collection": collection, **PATIENT, **options}
    return MilvusIndex(**given)


@contextmanager
def opened(uri: str | Path, **options: object) -> Iterator[MilvusIndex]:
    """An index whose generations are dropped at the end, except the live one."""
    index = make_milvus(uri, **options)
    yield index
    live = index.live()
    for generation in index.generations():
        if generation != live:
            index.drop(generation.name)
    index.close()


@pytest.fixture(scope="package")
def kept(uri_of: Callable[[str], str | Path]) -> Iterator[Callable[[str, str], Index]]:
    """One index per purpose and engine, because a server takes 3 s to load a collection."""
    made: dict[tuple[str, str], Index] = {}

    def keep(purpose: str, engine: str) -> Index:
        if (purpose, engine) not in made:
            memory = engine == "memory"
            made[purpose, engine] = MemoryIndex() if memory else make_milvus(uri_of(engine))
        return made[purpose, engine]

    yield keep
    for index in made.values():
        index.close()


@pytest.fixture(params=ENGINES)
def fresh(request: pytest.FixtureRequest, uri_of: Callable[[str], str | Path]) -> Iterator[Index]:
    """An index without generations, for each engine."""
    if request.param == "memory":
        yield MemoryIndex()
        return
    with opened(uri_of(request.param)) as index:
        yield index


@pytest.fixture(params=ENGINES)
def index(request: pytest.FixtureRequest, kept: Callable[[str, str], Index]) -> Index:
    """An index that other tests may have used, for each engine; a generation may be live."""
    return kept("writing", request.param)


@pytest.fixture
def generation(index: Index) -> Generation:
    """An empty generation of four dimensions, for a few records.

    Milvus 2.3 searches thousands of rows, even deleted ones, with an inexact index until it has
    sealed them; use `roomy` in tests that write that many.
    """
    for generation in index.generations():
        if generation.dimension == 4 and generation.fingerprint == "emptied":
            index.delete(
                list(dict(index.contents(generation=generation.name))), generation=generation.name
            )
            return generation
    return index.create(fingerprint="emptied", dimension=4)


@pytest.fixture
def roomy(index: Index) -> Generation:
    return index.create(fingerprint="roomy", dimension=4)


@pytest.fixture(params=ENGINES)
def filled(
    request: pytest.FixtureRequest, kept: Callable[[str, str], Index]
) -> tuple[Index, Generation]:
    """An index with five products that tests only read."""
    index = kept("reading", request.param)
    for generation in index.generations():
        return index, generation
    generation = index.create(fingerprint="model@1/4", dimension=4)
    index.upsert(
        [
            record("mug", kind=["mug", "gift"], price=9.5, stock=3, sale=True),
            record("cup", kind=["mug"], price=10, stock=0, sale=False),
            record("lamp", kind=["lamp"], price=10.0, stock=1, label="1"),
            record("set", kind=["set", "gift"], price=[5, 25.5], stock=-2, label="true"),
            record("bare"),
        ],
        generation=generation.name,
    )
    return index, generation
