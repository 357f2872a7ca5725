"""The Prometheus metrics, read back by the library's own parser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from mmsearch_app import search
from mmsearch_app.contrib.prometheus.registries import Searches, StateCollector
from mmsearch_app.models import Entry, Rebuild
from mmsearch_app.searching import tickets
from mmsearch_app.searching.query import InvalidQuery, SearchUnavailable
from mmsearch_app.signals import searched
from tests.contrib.shop import Shop
from tests.shop import EmbedderWithMoods, Sell, work

pytestmark = pytest.mark.django_db

Figures = Callable[..., float | None]


@pytest.fixture
def figures() -> Iterator[Figures]:
    """The current metrics by name and labels, parsed from the text that Prometheus scrapes."""
    registry = CollectorRegistry()
    searches = Searches(registry=registry)
    registry.register(StateCollector())
    searched.connect(searches.observe, weak=False)

    def read(name: str, **labels: str) -> float | None:
        text = generate_latest(registry).decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == f"mmsearch_{name}" and sample.labels == labels:
                    return float(sample.value)
        return None

    yield read
    searched.disconnect(searches.observe)


def test_images_are_counted_by_state(figures: Figures, sell: Sell) -> None:
    sell(pictures=2)
    work()
    sell("blue mug")
    assert figures("entries", state="indexed") == 2
    assert figures("entries", state="pending") == 1
    assert figures("entries", state="failed") == 0


def test_the_age_of_the_oldest_pending_change_is_reported(figures: Figures, sell: Sell) -> None:
    sell(pictures=2)
    assert figures("oldest_waiting_seconds") < 3600  # type: ignore[operator]
    Entry.objects.filter(pk=Entry.objects.earliest("pk").pk).update(
        marked_at=timezone.now() - timedelta(hours=5)
    )
    assert figures("oldest_waiting_seconds") >= 5 * 3600  # type: ignore[operator]
    work()
    assert figures("oldest_waiting_seconds") == 0


def test_the_state_of_the_index_is_reported(figures: Figures, sell: Sell) -> None:
    assert figures("index_live") == 0
    assert figures("index_matches_model") is None
    sell()
    work()
    assert figures("index_live") == 1
    assert figures("index_matches_model") == 1


def test_a_rebuild_shows_its_progress_while_it_is_open(figures: Figures) -> None:
    assert (figures("rebuild_open"), figures("rebuild_pictures")) == (0, None)
    Rebuild.objects.create(generation="g", done=3, total=8)
    assert figures("rebuild_open") == 1
    assert (figures("rebuild_pictures_done"), figures("rebuild_pictures")) == (3, 8)


def test_searches_are_counted_by_outcome_and_timed_by_stage(figures: Figures, sell: Sell) -> None:
    sell()
    work()
    search("red mug")
    search("red mug", filters={"price__lt": 1})
    assert figures("searches_total", request="search", outcome="found") == 1
    assert figures("searches_total", request="search", outcome="nothing") == 1
    assert figures("search_seconds_count", request="search", stage="embed") == 2
    assert figures("search_seconds_count", request="search", stage="total") == 2


def test_searches_that_fail_are_counted_as_well(
    figures: Figures, sell: Sell, embedder: EmbedderWithMoods
) -> None:
    sell()
    work()
    embedder.down = True
    with pytest.raises(SearchUnavailable):
        search("red mug")
    assert figures("searches_total", request="search", outcome="unavailable") == 1


def test_invalid_questions_are_counted_separately(figures: Figures, sell: Sell, use: Any) -> None:
    use(WITHOUT_WEIGHT=1.0)
    sell()
    work()
    with pytest.raises(InvalidQuery, match="cancel"):
        search("red mug", without="red mug")
    assert figures("searches_total", request="search", outcome="invalid") == 1


def test_late_reranks_are_counted_and_timed_separately(figures: Figures, sell: Sell) -> None:
    sell()
    work()
    tickets.rerank_late(tickets.issue(search("red mug", rerank=False)))
    assert figures("searches_total", request="late", outcome="found") == 1
    assert figures("search_seconds_count", request="late", stage="total") == 1


def test_a_paused_reranker_is_reported(figures: Figures, sell: Sell, use: Any) -> None:
    assert figures("reranker_resting") is None
    use(RERANKER={"BACKEND": "tests.contrib.test_prometheus.FailingReranker"})
    for title in ("red mug", "blue mug", "green mug"):
        sell(title)
    work()
    assert (figures("reranker_resting"), figures("reranker_failures")) == (0, 0)
    for words in ("red", "blue", "green"):
        search(words)
    assert (figures("reranker_resting"), figures("reranker_failures")) == (1, 3)
    assert figures("reranker_under_way") == 0


class FailingReranker:
    """Always fails."""

    fingerprint = "failing"

    def rerank(self, *_: Any) -> Any:
        raise RuntimeError


def test_an_unreadable_ledger_leaves_the_other_metrics(figures: Figures, sell: Sell) -> None:
    sell()
    work()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE mmsearch_app_entry")
    assert figures("entries", state="indexed") is None
    assert figures("index_live") == 1


def test_registering_uses_neither_database_nor_index(
    django_assert_num_queries: Any, index: Any
) -> None:
    index.down = True
    with django_assert_num_queries(0):
        CollectorRegistry(auto_describe=True).register(StateCollector())


def test_a_receiver_that_fails_breaks_no_search(sell: Sell) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    sell()
    work()
    searched.connect(fail)
    try:
        assert len(search("red mug").hits) == 1
    finally:
        searched.disconnect(fail)


SCRAPE = """
from django.core.management import call_command
from django.test import Client
from mmsearch_app import search
sell(1).save()
call_command("mmsearch_reindex", verbosity=0)
search("mug")
text = Client().get("/metrics/").content.decode()
print(*[line for line in text.splitlines() if not line.startswith("#")], sep="\\n")
"""
FOUND = 'mmsearch_searches_total{outcome="found",request="search"} '


def test_one_app_is_enough_for_a_view_of_the_library(shop_with: Callable[..., Shop]) -> None:
    told = shop_with("mmsearch_app.contrib.prometheus").run(SCRAPE)
    assert f"{FOUND}1.0" in told
    assert 'mmsearch_entries{state="indexed"} 1.0' in told


def test_several_processes_are_summed_and_the_state_is_reported_once(
    shop_with: Callable[..., Shop], tmp_path: Any
) -> None:
    folder = tmp_path / "multiprocess"
    folder.mkdir()
    shop = shop_with("mmsearch_app.contrib.prometheus", PROMETHEUS_MULTIPROC_DIR=str(folder))
    shop.run(SCRAPE.replace("text =", "search('mug')\ntext ="))
    told = shop.run(SCRAPE.replace("sell(1)", "sell(2)"))
    assert f"{FOUND}3.0" in told
    assert told.count('mmsearch_entries{state="indexed"} 2.0') == 1


def test_without_the_library_the_error_says_what_to_install(shop_with: Callable[..., Shop]) -> None:
    code = "import sys, django\nsys.modules['prometheus_client'] = None\ndjango.setup()"
    shop = shop_with("mmsearch_app.contrib.prometheus")
    assert "pip install 'mmsearch[prometheus]'" in shop.fail(code)
