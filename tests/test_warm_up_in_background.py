"""Models are loaded from the start of a process that serves; until then a search says so."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from django.test import Client
from django.urls import reverse

from mmsearch_app import search, warming
from mmsearch_app.health import examine
from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.base import Ranking
from mmsearch_app.searching import Answer, Busy, SearchUnavailable
from mmsearch_app.searching.rerank import rerank
from mmsearch_app.testing import TestingEmbedder
from tests.forking import works_in_child
from tests.shop import Catalogue
from tests.shop_kit import work_again
from tests.waiting import until

pytestmark = pytest.mark.django_db


class Slow(TestingEmbedder):
    """Is loaded when `released`; fails to load as often as `failures` says."""

    released: ClassVar[threading.Event]
    failures: ClassVar[int]
    loads: ClassVar[int]

    def warm_up(self) -> None:
        type(self).loads += 1
        assert self.released.wait(60)
        if type(self).failures:
            type(self).failures -= 1
            raise ConnectionError("no weights")


class SlowJudge:
    """A reranker that is loaded like the embedder."""

    fingerprint = "judge-1"

    def warm_up(self) -> None:
        assert Slow.released.wait(60)

    def rerank(self, query: Content, candidates: Sequence[Content]) -> Ranking:
        return Ranking(order=tuple(range(len(candidates)))[::-1])


def serve_a_page() -> None:
    assert Client().get(reverse("mmsearch:search")).status_code == 200


@pytest.fixture
def serving(shop: Catalogue, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A process that has just begun to serve the shop; `release` lets its models load."""
    Slow.released, Slow.failures, Slow.loads = threading.Event(), 0, 0
    monkeypatch.setattr(warming, "is_under_test", lambda: False)
    use(EMBEDDER={"BACKEND": f"{__name__}.Slow"}, RERANKER={"BACKEND": f"{__name__}.SlowJudge"})
    work_again()
    serve_a_page()
    yield shop
    Slow.released.set()
    until(seconds=60, true=lambda: warming.model_state("embedder").state == "ready")


def test_a_search_does_not_wait_for_a_model_that_is_being_loaded(serving: Catalogue) -> None:
    with pytest.raises(SearchUnavailable, match="starting") as caught:
        search("mug")
    assert caught.value.retry_after == 5
    Slow.released.set()
    until(seconds=60, true=lambda: warming.model_state("embedder").state == "ready")
    assert search("mug").hits
    assert Slow.loads == 1


def test_a_search_without_a_model_goes_through_meanwhile(serving: Catalogue) -> None:
    assert search(like=serving["red mug"], rerank=False).hits
    with pytest.raises(SearchUnavailable):
        search(like=serving["red mug"], without="blue")


def test_the_page_and_the_api_say_so_with_a_time_to_try_again(
    serving: Catalogue, client: Any
) -> None:
    page = client.get(reverse("mmsearch:search"), {"text": "mug"})
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert 'value="mug"' in page.content.decode()
    answer = client.post(reverse("mmsearch_api:search"), {"text": "mug"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "starting" in answer.json()["detail"]
    assert client.get(reverse("mmsearch:search")).status_code == 200


def test_health_says_that_the_model_is_being_loaded(serving: Catalogue) -> None:
    assert (examine().model, examine().ok) == ("loading", False)
    Slow.released.set()
    until(seconds=60, true=lambda: examine().ok)


def test_a_reranker_that_is_being_loaded_keeps_nobody_waiting(serving: Catalogue) -> None:
    found = search(like=serving["red mug"])
    assert found.ranked_by == "index"
    assert "busy" in found.notes[0]
    with pytest.raises(Busy) as caught:
        rerank(Answer(hits=found.hits, query=found.query), raise_if_busy=True)
    assert caught.value.retry_after == 5
    Slow.released.set()
    until(seconds=60, true=lambda: warming.model_state("reranker").state == "ready")
    assert search(like=serving["red mug"]).ranked_by == "reranker"


def test_a_model_that_cannot_be_loaded_says_so_and_is_tried_again(
    serving: Catalogue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Slow.failures = 2
    monkeypatch.setattr(warming, "_FIRST_PAUSE", 60.0)
    woken = threading.Event()
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda s: woken.wait(s) if s >= 60 else sleep(s))
    Slow.released.set()
    until(seconds=60, true=lambda: warming.model_state("embedder").state == "failed")
    with pytest.raises(SearchUnavailable, match="not available") as caught:
        search("mug")
    assert caught.value.retry_after >= 5
    assert examine().model == "unavailable"
    assert "no weights" in caplog.text
    woken.set()
    until(seconds=60, true=lambda: warming.model_state("embedder").state == "ready")
    assert Slow.loads == 3
    assert search("mug").hits


def test_a_model_that_has_answered_needs_no_loading(
    shop: Catalogue, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the demo, which searches once before it serves."""
    Slow.released, Slow.failures, Slow.loads = threading.Event(), 0, 0
    use(EMBEDDER={"BACKEND": f"{__name__}.Slow"})
    work_again()
    assert search("mug").hits
    monkeypatch.setattr(warming, "is_under_test", lambda: False)
    serve_a_page()
    assert search("mug").hits
    assert Slow.loads == 0


@pytest.mark.parametrize("keys", [{"WARM_UP": False}, {}])
def test_nothing_is_loaded_where_it_is_switched_off_or_tested(
    shop: Catalogue, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    Slow.released, Slow.loads = threading.Event(), 0
    if keys:
        monkeypatch.setattr(warming, "is_under_test", lambda: False)
    use(EMBEDDER={"BACKEND": f"{__name__}.Slow"}, **keys)
    serve_a_page()
    work_again()
    assert search("mug").hits
    assert Slow.loads == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_loads_for_itself(serving: Catalogue) -> None:
    def load() -> bool:
        if warming.model_state("embedder").state != "unknown":
            return False
        Slow.released = threading.Event()
        Slow.released.set()
        warming.start_warm_up()
        until(seconds=60, true=lambda: warming.model_state("embedder").state == "ready")
        return True

    assert works_in_child(load)


SERVED = """
import os, threading, time
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
{start}
names = [thread.name for thread in threading.enumerate()]
from mmsearch_app.warming import model_state
print("mmsearch-warm-up" in names or model_state("embedder").state == "ready")
"""


@pytest.mark.parametrize(
    ("start", "loads"),
    [
        ("from django.core.wsgi import get_wsgi_application as start; start()", True),
        ("from django.core.asgi import get_asgi_application as start; start()", True),
        ("import django; django.setup()", False),
        ("from django.core.management import call_command as call\n"
         "import django; django.setup(); call('check')", False),
    ],
)  # fmt: skip
def test_only_a_process_that_serves_loads_at_its_start(start: str, loads: bool) -> None:
    command = [sys.executable, "-c", SERVED.format(start=start)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert output.split()[-1] == str(loads)


def test_a_parent_that_only_forks_leaves_the_loading_to_its_children(
    use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """gunicorn with --preload: the parent sets Django up, and forks afterwards."""
    monkeypatch.setattr(warming, "is_under_test", lambda: False)
    monkeypatch.setattr(warming, "_starts_in_child", False)
    monkeypatch.setattr(
        warming, "_callers", lambda: ["django.core.wsgi", "gunicorn.arbiter", "__main__"]
    )
    warming.start_where_served()
    assert warming.model_state("embedder").state == "unknown"
    assert warming._starts_in_child
    if hasattr(os, "fork"):
        assert works_in_child(lambda: warming.model_state("embedder").state != "unknown")
    monkeypatch.setattr(
        warming,
        "_callers",
        lambda: ["django.core.wsgi", "gunicorn.workers.base", "gunicorn.arbiter"],
    )
    warming.start_where_served()
    until(seconds=60, true=lambda: warming.model_state("embedder").state == "ready")
