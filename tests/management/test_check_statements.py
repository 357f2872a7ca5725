"""`mmsearch_check` runs the statements of every source, and leaves no trace."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from mmsearch_app import ImageSource
from mmsearch_app.backends import get_index
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.models import Entry
from mmsearch_app.sources import registry
from mmsearch_app.testing import registered
from tests.shapes.models import Poster
from tests.shop import Catalogue, Sell, held, picture_file, work

pytestmark = pytest.mark.django_db(transaction=True)


def report() -> dict[str, str]:
    """The lines by the part that they are about."""
    output = io.StringIO()
    with suppress(CommandError):
        call_command("mmsearch_check", stdout=output)
    names = ["sources", "embedder", "index", "storage", "ledger", "page", "reranker"]
    names += [f"{part} {source.name}" for part in ("indexing", "search") for source in registry]
    lines = output.getvalue().splitlines()
    return {name: line for name in names for line in lines if line[5:].startswith(f"{name} ")}


def state() -> Any:
    """All that the check must not change."""
    generations = [generation.name for generation in get_index().generations()]
    return list(Entry.objects.order_by("pk").values()), held(), generations


def test_a_healthy_shop_passes_and_nothing_is_changed(shop: Catalogue, sell: Sell) -> None:
    sell("waiting mug", colour="red")
    before = state()
    lines = report()
    assert all(line.startswith("ok") for line in lines.values()), lines
    found = "found red mug (1) by its image, price; no value of category to try"
    assert found in lines["search example_shop.productimage"]
    assert "answers 200" in lines["page"]
    assert state() == before


def test_an_index_in_a_file_is_tried(use: Any, sell: Sell, tmp_path: Any) -> None:
    milvus = "mmsearch_app.indexes.milvus.MilvusIndex"
    use(INDEX={"BACKEND": milvus, "OPTIONS": {"uri": str(tmp_path / "milvus.db")}})
    sell("red mug")
    work()
    before = state()
    lines = report()
    assert all(line.startswith("ok") for line in lines.values()), lines
    assert state() == before


def test_an_empty_shop_passes(db: None) -> None:
    lines = report()
    assert all(line.startswith("ok") for line in lines.values()), lines
    assert not Entry.objects.exists()
    assert get_index().generations() == []


def test_the_statements_of_indexing_are_run_and_rolled_back(sell: Sell) -> None:
    sell(pictures=1)
    with CaptureQueriesContext(connection) as queries:
        report()
    ran = [query["sql"] for query in queries]
    for piece in ("MD5(", "EXISTS(", "ON CONFLICT", "INSERT INTO", "lease_until", "ROLLBACK"):
        if piece == "ON CONFLICT" and connection.vendor == "mysql":
            piece = "ON DUPLICATE KEY"
        assert any(piece in statement for statement in ran), piece
    assert Entry.objects.get().state == "pending"


@pytest.fixture
def poster(db: None) -> Any:
    return Poster.objects.create(name="red sea", picture=picture_file())


def source(**attributes: Any) -> ImageSource:
    given = {"name": "tried", "image": "picture", "title": "name", **attributes}
    tried: type[ImageSource] = type("Tried", (ImageSource,), given)
    return tried(Poster)


def raising(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("of the shop")


def unsaleable(self: ImageSource) -> Any:
    return Poster.objects.filter(Q(("nonsense", 1)))


@pytest.mark.parametrize(
    ("attributes", "part", "words"),
    [
        ({"get_queryset": unsaleable}, "indexing tried", "nonsense"),
        ({"get_title": raising}, "search tried", "of the shop"),
        ({"get_url": raising}, "search tried", "of the shop"),
        ({"get_image_url": raising}, "search tried", "of the shop"),
        ({"visible_to": raising}, "search tried", "of the shop"),
    ],
)
def test_what_the_shop_gets_wrong_is_a_failure(
    poster: Any, attributes: dict[str, Any], part: str, words: str
) -> None:
    with registered(source(**attributes)):
        line = report()[part]
    assert line.startswith("FAIL")
    assert words in line


def test_a_filter_that_does_not_find_its_own_row_fails(
    poster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registered(source(filters={"copies": "copies", "name": "name"})):
        assert "copies, name" in report()["search tried"]
        monkeypatch.setattr(MemoryIndex, "search", without_conditions(MemoryIndex.search))
        line = report()["search tried"]
    assert line.startswith("FAIL")
    assert "the filter 'copies' does not find <Poster: red sea> by its own 1" in line


def without_conditions(search: Callable[..., Any]) -> Callable[..., Any]:
    """An index that finds nothing as soon as it is asked for a filter."""

    def find(self: Any, vector: Any, **options: Any) -> Any:
        return [] if options.get("conditions") else search(self, vector, **options)

    return find


def test_a_table_that_is_missing_is_a_failure(sell: Sell) -> None:
    sell()
    table = Entry._meta.db_table
    with connection.schema_editor() as editor:
        editor.alter_db_table(Entry, table, f"{table}_gone")
    try:
        lines = report()
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Entry, f"{table}_gone", table)
    assert lines["indexing example_shop.productimage"].startswith("FAIL")
    assert lines["ledger"].startswith("FAIL")


class Forgetful(MemoryIndex):
    """Loses what is written."""

    def upsert(self, records: Any, *, generation: str) -> None:
        pass


def test_an_index_that_loses_what_is_written_fails(
    use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsearch_app.management.commands.mmsearch_check._PATIENCE", 0.0)
    use(INDEX={"BACKEND": f"{__name__}.Forgetful"})
    line = report()["index"]
    assert line.startswith("FAIL")
    assert "a record that was written is not found" in line
    assert get_index().generations() == []


def test_what_a_killed_check_left_in_the_index_is_removed(shop: Catalogue) -> None:
    before = state()
    live = get_index().live()
    assert live is not None
    left = f"{live.fingerprint} mmsearch_check"
    get_index().create(fingerprint=left, dimension=live.dimension)
    report()
    assert state() == before


# No source


@pytest.fixture
def no_sources() -> Iterator[None]:
    """Unregister all sources during the test."""
    sources = list(registry)
    for found in sources:
        registry.remove(found.name)
    yield
    for found in sources:
        registry.add(found)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mmsearch_check", {}),
        ("mmsearch_reindex", {}),
        ("mmsearch_reindex", {"later": True}),
        ("mmsearch_reconcile", {}),
        ("mmsearch_worker", {"once": True}),
        ("mmsearch_worker", {}),
    ],
)
def test_a_command_without_any_source_fails_and_says_where_it_looked(
    shop: Catalogue, no_sources: None, name: str, options: dict[str, Any]
) -> None:
    before, output = held(), io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command(name, stdout=output, **options)
    said = f"{output.getvalue()}{caught.value}"
    assert "No image source is registered." in said
    assert "example_shop.mmsearch" in said
    assert held() == before
    assert not Entry.objects.exclude(due_at=None).exists()


def test_a_module_that_autodiscovery_does_not_see_is_named(
    no_sources: None, settings: Any, tmp_path: Any
) -> None:
    settings.BASE_DIR = tmp_path
    (tmp_path / "catalogue").mkdir()
    missed = tmp_path / "catalogue" / "mmsearch.py"
    missed.write_text("")
    with pytest.raises(CommandError) as caught:
        call_command("mmsearch_reindex")
    said = str(caught.value)
    assert f"{missed} is in no installed app: add its app to INSTALLED_APPS." in said
    assert "example_shop.mmsearch, tests.shapes.mmsearch registers none" in said
