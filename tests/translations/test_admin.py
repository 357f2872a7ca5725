"""The admin is in the editor's language, whatever language the worker ran in."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils.translation import override

from mmsearch_app.indexing import rebuild
from mmsearch_app.models import Entry, Rebuild
from mmsearch_app.testing import index_everything
from mmsearch_app.translation import translate_stored
from tests.translations.leftovers import find_leftovers

LEDGER = "/admin/mmsearch_app/entry/"
BROKEN = "This is no JPEG, PNG, WebP or AVIF picture."


@pytest.mark.parametrize("place", ["", "inspect/", "inspect/?text=red+mug&compare=1", "reindex/"])
def test_the_pages(editor: Client, shop: Any, place: str) -> None:
    html = editor.get(LEDGER + place).text.replace('alt="Search"', "")  # Django's own texts
    assert find_leftovers(html, "de") == set()
    assert "Indexeinträge" in html


def test_a_rebuild_under_way(editor: Client, shop: Any) -> None:
    rebuild.request_rebuild()
    html = editor.get(f"{LEDGER}reindex/").text
    assert "Angefordert; wartet darauf, dass ein Worker beginnt." in html
    assert find_leftovers(html, "de") == set()
    progress = editor.get(f"{LEDGER}reindex/progress/").json()
    assert progress["text"] == "Angefordert; wartet darauf, dass ein Worker beginnt."


def test_an_entry(editor: Client, shop: Any) -> None:
    entry = Entry.objects.earliest("pk")
    html = editor.get(f"{LEDGER}{entry.pk}/change/").text
    assert find_leftovers(html, "de") == set()
    assert "reserviert bis" in html.lower()


def test_the_ledger_is_english_in_any_worker_language(rejected: Any) -> None:
    with override("de"):
        index_everything()
    assert [entry.error for entry in Entry.objects.all()] == [BROKEN]


def test_errors_of_the_ledger_are_shown_in_the_editors_language(
    editor: Client, rejected: Any
) -> None:
    index_everything()
    html = editor.get(LEDGER).text
    assert "Das ist kein JPEG-, PNG-, WebP- oder AVIF-Bild." in html
    assert BROKEN not in html
    entry = editor.get(f"{LEDGER}{Entry.objects.get().pk}/change/").text
    assert "Das ist kein JPEG-, PNG-, WebP- oder AVIF-Bild." in entry


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("", ""),
        ("The file is missing: a/b: c.png", "Die Datei fehlt: a/b: c.png"),
        ("This file is too large: at most 64 MB.", "Diese Datei ist zu groß: höchstens 64 MB."),
        ("OSError: 100 % wrong (%s)", "OSError: 100 % wrong (%s)"),
    ],
)
def test_known_messages_are_translated_and_others_unchanged(error: str, told: str) -> None:
    with override("de"):
        assert translate_stored(error) == told
        assert Rebuild(error=error).explanation == told
