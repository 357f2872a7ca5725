"""The catalogues are complete, compiled, and say what the code means."""

from __future__ import annotations

import io
import re
from gettext import GNUTranslations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import messages

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog, Message

    Texts = dict[tuple[str | None, object], Message]

CATALOGUES = list(messages.find_catalogues())
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[a-z]")
TAG = re.compile(r"<[^>]*>")

each_language = pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])


def texts_of(catalogue: Catalog) -> Texts:
    return {(message.context, message.id): message for message in catalogue if message.id}


@pytest.fixture(scope="module")
def texts() -> Texts:
    """Every text of the app."""
    return texts_of(messages.collect())


def load(compiled: io.BufferedIOBase) -> object:
    return vars(GNUTranslations(compiled))["_catalog"]


def test_there_are_the_languages_that_the_readme_names() -> None:
    names = {path.parts[-3] for path in CATALOGUES}
    assert names == {"de", "es", "fr", "it", "nl"}


def test_texts_of_templates_and_of_python_are_found_with_plurals_and_contexts(texts: Texts) -> None:
    assert (None, "The file is empty.") in texts
    assert (None, "More like %(title)s") in texts
    assert (None, ("%(n)s product", "%(n)s products")) in texts
    assert ("a range", "from") in texts


@each_language
def test_every_text_is_in_the_catalogue_and_no_other(path: Path, texts: Texts) -> None:
    held = texts_of(messages.read(path))
    assert held.keys() - texts.keys() == set(), "run: make messages"
    assert texts.keys() - held.keys() == set(), "run: make messages, and translate"


def test_no_catalogue_changes_with_a_release_of_babel(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [messages.compile_catalogue(messages.read(path)) for path in CATALOGUES]
    monkeypatch.setattr("babel.messages.catalog.VERSION", "99.0")
    assert [messages.compile_catalogue(messages.read(path)) for path in CATALOGUES] == before


@each_language
def test_every_text_is_translated_without_doubt(path: Path) -> None:
    assert [m.id for m in messages.find_untranslated(messages.read(path))] == []


@each_language
def test_what_django_loads_is_what_the_catalogue_says(path: Path) -> None:
    compiled = io.BytesIO(messages.compile_catalogue(messages.read(path)))
    with path.with_suffix(".mo").open("rb") as file:
        assert load(file) == load(compiled), "run: make messages"


@each_language
@pytest.mark.parametrize("mark", [PLACEHOLDER, TAG], ids=["placeholders", "markup"])
def test_translations_keep(path: Path, mark: re.Pattern[str]) -> None:
    for (_, text), message in texts_of(messages.read(path)).items():
        last = text if isinstance(text, str) else message.id[-1]
        for form in messages.forms_of(message):
            assert sorted(mark.findall(form)) == sorted(mark.findall(last)), form


@each_language
def test_translations_begin_and_end_as_the_text_does(path: Path) -> None:
    for (_, text), message in texts_of(messages.read(path)).items():
        last = text if isinstance(text, str) else message.id[-1]
        for form in messages.forms_of(message):
            assert form == form.strip()
            assert (form[-1] == ".") == (last[-1] == "."), form
