"""The check for django-health-check, called by its view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import clear_url_caches

from mmsearch_app.testing import TestingEmbedder
from tests.fresh import error_without, imports
from tests.shop import Sell, work

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _monitored(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.contrib.urls"
    yield
    clear_url_caches()


def ask(client: Client) -> tuple[int, str]:
    response = client.get("/health/", {"format": "json"})
    assert list(response.json()) == ["ProductSearch()"]
    return response.status_code, response.json()["ProductSearch()"]


def test_a_shop_that_can_search_is_healthy(client: Client, sell: Sell) -> None:
    sell()
    work()
    assert ask(client) == (200, "OK")


def test_a_backlog_is_healthy(client: Client, sell: Sell) -> None:
    sell()
    work()
    sell("blue mug")
    assert ask(client) == (200, "OK")


def test_an_index_that_was_never_built_is_reported(client: Client) -> None:
    assert ask(client) == (500, "Unavailable: the search index is not built")


def test_an_index_of_another_model_is_reported(client: Client, sell: Sell, use: Any) -> None:
    sell()
    work()
    other = {"BACKEND": "mmsearch_app.testing.TestingEmbedder", "OPTIONS": {"fingerprint": "other"}}
    use(EMBEDDER=other, INDEX={"BACKEND": "tests.contrib.test_health.IndexOfAnother"})
    status, told = ask(client)
    assert (status, told.split(";")[1]) == (500, " run mmsearch_reindex")


class IndexOfAnother:
    """An index that was filled by another embedder."""

    def __new__(cls) -> Any:
        from mmsearch_app.indexes.memory import MemoryIndex

        index = MemoryIndex()
        before = TestingEmbedder()
        made = index.create(fingerprint=before.fingerprint, dimension=before.dimension)
        index.promote(made.name)
        return index


def test_an_unavailable_index_is_reported_without_its_address(client: Client, index: Any) -> None:
    index.down = True
    assert ask(client) == (500, "Unavailable: the search index is unreachable")


def test_an_unreadable_ledger_is_reported(client: Client, sell: Sell) -> None:
    sell()
    work()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE mmsearch_app_entry")
    assert ask(client) == (500, "Unavailable: the ledger cannot be read")


def test_the_check_loads_neither_the_rest_framework_nor_a_model() -> None:
    code = "import django\ndjango.setup()\nimport mmsearch_app.contrib.health"
    assert imports(code, "rest_framework.views", "torch", "pymilvus") == []


def test_without_the_library_the_error_says_what_to_install() -> None:
    code = "import django\ndjango.setup()\nimport mmsearch_app.contrib.health"
    assert "pip install 'mmsearch[health]'" in error_without("health_check", code)
