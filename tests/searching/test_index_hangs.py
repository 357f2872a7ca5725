"""Visitors of an index that hangs: they wait for a while, and then no longer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from mmsearch_app import search
from mmsearch_app.backends import get_index
from mmsearch_app.indexes import IndexUnavailable
from mmsearch_app.inference import last_moment
from mmsearch_app.searching import index_time as room
from mmsearch_app.searching.query import InvalidQuery, SearchUnavailable
from tests.faults.wire import Wire
from tests.indexes.conftest import LiteServer
from tests.shop import Catalogue, Sell
from tests.shop_kit import titles, work_again

HOURS = 3600.0
SENTENCE = "not available at the moment"


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    room._circuit.reset()
    yield
    room._circuit.reset()


class Mute:
    """A server that accepts connections and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.accepted: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in (self._listener, *self.accepted):
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self.accepted.append(self._listener.accept()[0])


@pytest.fixture
def mute(use: Callable[..., None]) -> Iterator[Mute]:
    server = Mute()
    use(INDEX=milvus(server.port), INDEX_SECONDS=1.0)
    yield server
    get_index().close()
    server.close()


def milvus(port: int) -> dict[str, Any]:
    """The index at that port; a worker would wait for hours."""
    backend = "mmsearch_app.indexes.milvus.MilvusIndex"
    options = {"uri": f"http://127.0.0.1:{port}", "timeout": HOURS, "consistency": "Strong"}
    return {"BACKEND": backend, "OPTIONS": options}


def end_pause() -> None:
    room._circuit._open_until = 0.0


def fail(*, slowly: bool) -> None:
    """Search an index that fails, at once or after the whole time of a search."""
    with pytest.raises(IndexUnavailable), room.index_time(), room.asking_index():
        if slowly:
            time.sleep(max(0.0, last_moment() - time.monotonic()))
        raise IndexUnavailable


@pytest.mark.django_db
def test_a_search_does_not_wait_longer_than_a_visitor_for_a_server_that_never_answers(
    sell: Sell, mute: Mute
) -> None:
    sell("red mug")
    begun = time.monotonic()
    with pytest.raises(SearchUnavailable, match=SENTENCE):
        search("mug")
    assert time.monotonic() - begun < HOURS / 10
    assert mute.accepted


@pytest.mark.django_db
def test_searches_after_it_are_refused_without_asking_the_server(sell: Sell, mute: Mute) -> None:
    sell("red mug")
    with pytest.raises(SearchUnavailable):
        search("mug")
    asked = len(mute.accepted)
    with pytest.raises(SearchUnavailable, match=SENTENCE) as refused:
        search("another mug")
    assert 1 <= refused.value.retry_after <= room._PAUSE
    assert len(mute.accepted) == asked
    end_pause()
    with pytest.raises(SearchUnavailable):
        search("mug")
    assert len(mute.accepted) > asked


@pytest.mark.django_db
def test_the_api_answers_503_and_when_to_try_again(sell: Sell, mute: Mute, client: Client) -> None:
    sell("red mug")
    for _ in range(2):
        path = reverse("mmsearch_api:search")
        answer = client.post(path, {"text": "mug"}, content_type="application/json")
        assert answer.status_code == 503
        assert int(answer["Retry-After"]) >= 1
        assert SENTENCE in answer.content.decode()


@pytest.mark.django_db
def test_a_server_that_hangs_for_a_while_is_searched_again_afterwards(
    shop: Catalogue, use: Callable[..., None], tmp_path: Any
) -> None:
    server = LiteServer(tmp_path / "served")
    wire = Wire(int(server.uri.rpartition(":")[2]))
    use(INDEX=milvus(wire.port), INDEX_SECONDS=30.0)
    try:
        work_again()
        assert titles(search("red mug"))[0] == "red mug"
        with wire.trouble(delay=0.2):  # it answers late: that is no outage
            assert titles(search("red mug"))[0] == "red mug"
        use(INDEX_SECONDS=1.0)
        with wire.trouble(hold=True):
            for _ in range(2):
                with pytest.raises(SearchUnavailable, match=SENTENCE):
                    search("red mug")
            assert room._circuit.is_open()
        use(INDEX_SECONDS=30.0)
        assert titles(search("red mug"))[0] == "red mug"
    finally:
        get_index().close()
        wire.close()
        server.stop()


def test_calls_of_one_search_share_its_time(use: Callable[..., None]) -> None:
    use(INDEX_SECONDS=100.0)
    with room.index_time():
        with room.asking_index():
            first = last_moment()
            time.sleep(0.05)
        time.sleep(0.05)  # a model may take long: that is not the index
        with room.asking_index():
            assert first < last_moment() < first + 100
        assert last_moment() > first + HOURS
    with room.asking_index():
        assert last_moment() > first + HOURS


def test_a_failure_at_once_refuses_nobody() -> None:
    for _ in range(5):
        fail(slowly=False)
    assert not room._circuit.is_open()


def test_one_search_at_a_time_tries_the_index_again(use: Callable[..., None]) -> None:
    use(INDEX_SECONDS=0.2)
    fail(slowly=True)
    with pytest.raises(SearchUnavailable), room.index_time():
        pytest.fail("it was let through")
    end_pause()
    with room.index_time():
        with pytest.raises(SearchUnavailable), room.index_time():
            pytest.fail("it was let through beside the first")
        with room.asking_index():
            pass
    with room.index_time(), room.index_time():
        pass


def test_a_try_that_fails_ends_in_another_pause(use: Callable[..., None]) -> None:
    use(INDEX_SECONDS=0.2)
    fail(slowly=True)
    end_pause()
    fail(slowly=True)
    with pytest.raises(SearchUnavailable), room.index_time():
        pytest.fail("it was let through")


def test_a_search_that_never_reached_the_index_says_nothing_about_it(
    use: Callable[..., None],
) -> None:
    use(INDEX_SECONDS=0.2)
    fail(slowly=True)
    end_pause()
    with pytest.raises(InvalidQuery), room.index_time():
        raise InvalidQuery("")
    with room.index_time(), pytest.raises(SearchUnavailable), room.index_time():
        pytest.fail("it was let through beside the next")
