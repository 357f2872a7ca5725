"""System checks: ids, messages and hints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connection, models

from example_shop.models import Product, ProductImage
from mmsearch_app import Filter, ImageSource, checks
from mmsearch_app.sources.registry import registry
from mmsearch_app.testing import IN_MEMORY, registered
from tests.shapes.models import Attachment, Poster


def ids(messages: list[CheckMessage]) -> list[str]:
    assert all(message.hint for message in messages)
    return [str(message.id).removeprefix("mmsearch_app.") for message in messages]


@pytest.fixture
def no_sources() -> Iterator[None]:
    """Unregister all sources during the test."""
    sources = list(registry)
    for source in sources:
        registry.remove(source.name)
    yield
    for source in list(registry):
        registry.remove(source.name)
    for source in sources:
        registry.add(source)


def of_source(model: type[models.Model], **attributes: Any) -> list[CheckMessage]:
    """The messages about a source with these attributes, as the only one registered."""
    source = type("Checked", (ImageSource,), {"name": "checked", **attributes})(model)
    with registered(source):
        return [found for found in checks.check_sources(None) if "checked" in str(found.msg)]


def test_the_example_shop_and_all_shapes_pass_the_checks() -> None:
    assert checks.check_sources(None) == []


def test_django_runs_the_checks(settings: Any) -> None:
    settings.MMSEARCH = {"NOPE": 1}
    assert "mmsearch_app.E001" in [message.id for message in run_checks()]


@pytest.mark.parametrize(
    "setting", [{"NOPE": 1}, {"EMBEDDER": {"BACKEND": "no.where"}}, {"LIMIT": 0}]
)
def test_e001_a_setting_that_cannot_be_used(settings: Any, setting: dict[str, Any]) -> None:
    settings.MMSEARCH = {**IN_MEMORY, **setting}
    assert ids(checks.check_settings(None)) == ["E001"]


def test_w001_a_cache_that_other_processes_do_not_share(settings: Any, tmp_path: Path) -> None:
    settings.MMSEARCH = {**IN_MEMORY, "WORKER_THREAD": True}
    settings.DEBUG = False
    assert ids(checks.check_settings(None)) == ["W001"]
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": tmp_path,
        }
    }
    assert checks.check_settings(None) == []


def test_w001_is_not_reported_in_debug_mode(settings: Any) -> None:
    settings.MMSEARCH = {**IN_MEMORY, "WORKER_THREAD": True}
    settings.DEBUG = True
    assert checks.check_settings(None) == []


def test_w002_an_index_of_one_process_without_the_thread(settings: Any) -> None:
    settings.DEBUG = True
    settings.MMSEARCH = IN_MEMORY
    (found,) = checks.check_settings(None)
    assert ids([found]) == ["W002"]
    assert "in the memory of one process" in str(found.msg)
    settings.MMSEARCH = {"EMBEDDER": IN_MEMORY["EMBEDDER"]}
    (found,) = checks.check_settings(None)
    assert ids([found]) == ["W002"]
    assert "a file that one process can open" in str(found.msg)


@pytest.mark.usefixtures("no_sources")
def test_w003_no_source() -> None:
    assert ids(checks.check_sources(None)) == ["W003"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"image": "name"},
        {"image": "nope"},
        {"image": "picture", "title": "nope"},
        {"image": "picture", "title": "delete"},
        {"image": "picture", "filters": {"tag": "tags.nope"}},
        {"image": "picture", "filters": {"show": "exhibitions.nope"}},
    ],
)
def test_e002_a_path_that_leads_nowhere(attributes: dict[str, Any]) -> None:
    assert "E002" in ids(of_source(Poster, **attributes))


@pytest.mark.parametrize("product", ["product.title", "nope", "product.categories"])
def test_e003_a_product_path_to_something_else(product: str) -> None:
    assert "E003" in ids(of_source(ProductImage, image="original", product=product))


def test_e004_a_key_of_several_columns() -> None:
    class Line(models.Model):
        pk = models.CompositePrimaryKey("order", "number")
        order = models.IntegerField()
        number = models.IntegerField()
        picture = models.ImageField()

        class Meta:
            app_label = "shapes"
            managed = False

        def __str__(self) -> str:
            return ""

    try:
        assert "E004" in ids(of_source(Line, image="picture"))
    finally:
        from django.apps import apps

        del apps.all_models["shapes"]["line"]
        apps.clear_cache()


@pytest.mark.parametrize(
    "depends_on",
    [
        {"shapes.Nope": "x"},
        {"nope": "x"},
        {"shapes.Tag": "nope"},
        {"shapes.Tag": "posters.shade"},
        {"shapes.Tag": "name"},
        {"shapes.Exhibition": "title"},
        {"example_shop.Product": "images"},
    ],
)
def test_e005_a_dependency_that_leads_nowhere(depends_on: dict[str, str], no_sources: None) -> None:
    class Checked(ImageSource):
        image = "picture"

    source = Checked(Poster)
    source.depends_on = depends_on  # type: ignore[misc]
    registry.add(source)
    assert ids(checks.check_sources(None)) == ["E005"]


@pytest.mark.usefixtures("no_sources")
def test_e005_is_reported_since_a_wrong_label_does_not_stop_the_start() -> None:
    wrong = {"example_shop.Prodct": "images", "example_shop.Product": "images"}
    source = type("Named", (ImageSource,), {"image": "original", "depends_on": wrong})
    with registered(source(ProductImage)):
        assert [one.lookup for one in registry.watching(Product)] == ["product"]
        found = checks.check_sources(None)[0]
    assert "depends_on['example_shop.Prodct'] = 'images': App 'example_shop'" in str(found.msg)


class Fine(ImageSource):
    image = "upload"
    product = "garment"
    title = "garment.name"
    filters: ClassVar = {"code": "garment.code", "file": Filter("upload.name", type=str)}


def test_paths_through_properties_and_files_are_fine() -> None:
    source = type("Named", (Fine,), {"name": "checked"})(Attachment)
    with registered(source):
        assert checks.check_sources(None) == []
    typed = {"shade": Filter("shade", type=str)}
    assert of_source(Poster, image="picture", filters=typed) == []


@pytest.mark.sqlite
def test_w004_sqlite_without_immediate_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.check_database(None, databases=["default"]) == []
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    assert ids(checks.check_database(None, databases=["default"])) == ["W004"]


@pytest.mark.row_locks
def test_postgresql_needs_no_mode() -> None:
    assert checks.check_database(None, databases=["default"]) == []


def test_e007_a_filter_named_like_a_field_of_the_page() -> None:
    found = of_source(Poster, image="picture", filters={"text": "name", "tag": "tags.name"})
    assert ids(found) == ["E007"]
    assert "'text'" in str(found[0].msg)


@pytest.mark.parametrize("name", ["price__lte", "size__in", "the price", "a&b", ""])
def test_e007_a_filter_name_that_a_query_cannot_contain(name: str) -> None:
    found = of_source(Poster, image="picture", filters={name: "name"})
    assert ids(found) == ["E007"]
    assert repr(name) in str(found[0].msg)


@pytest.mark.parametrize("name", ["in", "shoe-size", "size__eu", "größe"])
def test_e007_accepts_plain_names(name: str) -> None:
    assert of_source(Poster, image="picture", filters={name: "name"}) == []
