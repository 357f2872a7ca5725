"""The servers that shops use: each serves searches, or refuses to start with a sentence."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.indexes.milvus_server import find_obstacle, serve
from tests.serving.servers import Server, Shop
from tests.waiting import until

MILVUS = "mmsearch_app.indexes.milvus.MilvusIndex"
GUNICORN = ["gunicorn", "-b", "127.0.0.1:0", "--no-control-socket"]
ASGI = ["uvicorn", "shop_asgi:application", "--port", "0", "--log-level", "info"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Milvus server."""
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    with serve(tmp_path_factory.mktemp("milvus")) as found:
        yield found


def on_server(address: str) -> dict[str, Any]:
    return {
        "BACKEND": MILVUS,
        "OPTIONS": {"uri": address, "collection": f"c{uuid.uuid4().hex}", "consistency": "Strong"},
    }


def in_file(folder: Path) -> dict[str, Any]:
    return {"BACKEND": MILVUS, "OPTIONS": {"uri": str(folder / "milvus.db")}}


def finds_everything(server: Server) -> bool:
    """Whether what was saved before the server started is indexed and found."""
    assert server.process.poll() is None, server.log.read_text()
    status, body = server.search("red mug")
    assert status in (0, 200, 503), server.log.read_text()
    return status == 200 and len(body["results"]) == 3


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([*GUNICORN, "-w", "2", "shop_wsgi"], id="prefork"),
        pytest.param([*GUNICORN, "-w", "2", "--preload", "shop_wsgi"], id="preload"),
        pytest.param([*GUNICORN, "-w", "2", "-k", "gevent", "shop_wsgi"], id="gevent"),
        pytest.param([*ASGI, "--workers", "2"], id="asgi"),
    ],
)
def test_a_server_of_two_processes_indexes_and_searches(
    tmp_path: Path, address: str, command: list[str]
) -> None:
    shop = Shop.prepare(tmp_path, INDEX=on_server(address))
    with shop.serve(*command) as server:
        until(lambda: finds_everything(server), seconds=90)
        # A writing greenlet can lock another one of its process out of SQLite for a moment.
        until(lambda: server.page() == 200, seconds=90)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([*GUNICORN, "-k", "gthread", "--threads", "4", "shop_wsgi"], id="threads"),
        pytest.param([*GUNICORN, "--preload", "shop_wsgi"], id="preload"),
        pytest.param(ASGI, id="asgi"),
    ],
)
def test_a_server_of_one_process_works_with_a_milvus_lite_file(
    tmp_path: Path, command: list[str]
) -> None:
    shop = Shop.prepare(tmp_path, INDEX=in_file(tmp_path))
    with shop.serve(*command) as server:
        until(lambda: finds_everything(server), seconds=90)
        assert server.page() == 200


def test_gevent_with_a_milvus_lite_file_refuses_to_start(tmp_path: Path) -> None:
    shop = Shop.prepare(tmp_path, INDEX=in_file(tmp_path))
    with shop.serve(*GUNICORN, "-k", "gevent", "shop_wsgi") as server:
        assert server.process.wait(90) != 0
    assert "Milvus Lite cannot run under gevent: use a Milvus server" in server.log.read_text()
