"""A shop with a reranker, for tests in Python, by API, by page and in a browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmsearch_app import backends
from mmsearch_app.conf import get_settings
from mmsearch_app.rerankers.chat import ChatVLM
from mmsearch_app.searching.guard import Guard
from mmsearch_app.testing import IN_MEMORY, index_everything
from tests.searching.reranking.chat_server import ChatServer, chatting, say
from tests.searching.reranking.guarding import run
from tests.searching.reranking.parts import Moody
from tests.storefront.conftest import chromium as chromium
from tests.storefront.conftest import page as page
from tests.storefront.conftest import sell as sell
from tests.storefront.conftest import shelf as shelf
from tests.storefront.conftest import shop as shop
from tests.storefront.conftest import site as site
from tests.storefront.test_browser_pages import axe as axe

Use = Callable[..., None]
Mugs = type[Moody]


@pytest.fixture
def use(settings: Any) -> Use:
    """Change keys of MMSEARCH and keep the index."""

    def change(**keys: Any) -> None:
        index = backends._built.pop("INDEX", None)
        settings.MMSEARCH = {**IN_MEMORY, **settings.MMSEARCH, **keys}
        if index is not None:
            backends._built |= {"INDEX": index, "SETTINGS": get_settings()}

    return change


@pytest.fixture
def moody(use: Use) -> Iterator[type[Moody]]:
    """The reranker in use; only its order counts."""
    Moody.calm()
    use(RERANKER={"BACKEND": "tests.searching.reranking.parts.Moody"}, RERANK_WEIGHT=1.0)
    yield Moody
    Moody.calm()
    for thread in threading.enumerate():  # a late thread would write into the next test's cache
        if thread.name == "mmsearch-rerank":
            thread.join(120)


@pytest.fixture
def mugs(moody: type[Moody], shop: dict[str, Any]) -> type[Moody]:
    """A shop of six indexed products, with a reranker that reverses the order."""
    index_everything()
    return moody


@pytest.fixture
def cache_down(settings: Any) -> None:
    """Use a cache that is down."""
    settings.CACHES = {"default": {"BACKEND": "tests.searching.reranking.parts.Away"}}


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """An event for blocked calls to wait for; it is set at the end of the test."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def start(gate: threading.Event) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run work through a guard in a thread; the returned dict gets the result or the error."""
    threads: list[threading.Thread] = []

    def begin(guard: Guard[Any], key: str, work: Callable[[], Any], **options: Any) -> Any:
        found: dict[str, Any] = {}

        def target() -> None:
            try:
                found["result"] = run(guard, key, work, **options)
            except Exception as error:
                found["error"] = error

        thread = threading.Thread(target=target)
        thread.start()
        threads.append(thread)
        return found

    yield begin
    gate.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chatting(say("Good day.")) as served:
        yield served


@pytest.fixture
def connect(server: ChatServer) -> Callable[..., ChatVLM]:
    def make(**options: Any) -> ChatVLM:
        given: dict[str, Any] = {"base_url": server.base_url, "model": "m", "timeout": 60.0}
        return ChatVLM(**(given | options))

    return make
