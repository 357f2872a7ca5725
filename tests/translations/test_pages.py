"""The storefront is completely in the visitor's language."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from tests.storefront.conftest import draw
from tests.translations.conftest import Speak
from tests.translations.leftovers import LOCALE, find_leftovers, read_page
from tools import messages

SEARCH = "/find/"
Ask = Callable[[Client, dict[str, Any]], Any]


def test_leftovers_would_be_found() -> None:
    html = '<p>Results</p><i title="Your picture" data-a="Searching …">Suche</i>'
    assert find_leftovers(html, "de") == {"Results", "Your picture", "Searching …"}


@pytest.mark.parametrize("language", sorted(path.name for path in LOCALE.iterdir()))
@pytest.mark.parametrize(
    "question",
    [
        "",
        "text=red+mug",
        "text=red+mug&limit=2&price__gte=10&price__lte=99999",
        "text=x&price__lte=3",
        "like={like}&text=in+green&without=fur",
        "like=0",
        "text=red&price__lte=dear",
        "text=" + 501 * "a",
    ],
)
def test_the_search_page(speak: Speak, shop: dict[str, Any], language: str, question: str) -> None:
    like = shop["blue mug"].pk
    page = speak(language).get(f"{SEARCH}?{question.format(like=like)}").text
    assert f'<html lang="{language}"' in page
    assert find_leftovers(page, language) == set()


def test_the_page_of_an_upload(speak: Speak, shop: dict[str, Any]) -> None:
    for data in (b"no picture", draw()):
        file = SimpleUploadedFile("a.png", data)
        page = speak("de").post(SEARCH, {"image": file, "text": "blue"}).text
        assert find_leftovers(page, "de") == set()
    assert "Ähnlich wie Ihr Bild" in page


def test_german_words_on_the_search_page(speak: Speak, shop: dict[str, Any]) -> None:
    page = read_page(speak("de").get(f"{SEARCH}?like={shop['red mug'].pk}&price__lte=12.5").text)
    wanted = {"Suchen", "So ähnlich, aber …", "in Rot", "günstiger", "Preis ≤ 12,5", "Ergebnisse"}
    assert wanted - page == set()


def test_errors_are_in_german(speak: Speak, shop: dict[str, Any]) -> None:
    page = read_page(speak("de").get(f"{SEARCH}?text=x&price__lte=dear").text)
    assert "Der Filter price passt nicht zu „dear“. Erwartet wird: eine Zahl." in page


def test_an_unavailable_search_is_reported_in_german(
    speak: Speak, shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsearch_app.testing.TestingEmbedder.embed_queries", lambda *_: 1 / 0)
    response = speak("de").get(f"{SEARCH}?text=mug")
    assert response.status_code == 503
    assert "Die Suche macht eine kurze Pause." in response.text
    assert find_leftovers(response.text, "de") == set()


@pytest.mark.parametrize("place", ["box", "like"])
def test_the_widgets(speak: Speak, shop: dict[str, Any], place: str) -> None:
    address = "/" if place == "box" else shop["red mug"].get_absolute_url()
    page = speak("de").get(address).text
    assert find_leftovers(page, "de") == set()
    assert ("Wonach suchen Sie?" if place == "box" else "So ähnlich, aber …") in page


def test_the_link_to_the_late_order(speak: Speak, mugs: Any) -> None:
    page = speak("de").get(f"{SEARCH}?text=red+mug").text
    assert 'data-done="Die besten Treffer stehen jetzt oben."' in page
    assert find_leftovers(page, "de") == set()


def test_a_shop_overrides_texts_and_names_its_filters(
    speak: Speak, shop: dict[str, Any], settings: Any, tmp_path: Path
) -> None:
    own = Catalog(locale="de")
    own.add("price", "Kaufpreis")
    own.add("Suggestions", "Wie wäre es hiermit?")
    (tmp_path / "de" / "LC_MESSAGES").mkdir(parents=True)
    compiled = messages.compile_catalogue(own)
    (tmp_path / "de" / "LC_MESSAGES" / "django.mo").write_bytes(compiled)
    settings.LOCALE_PATHS = [tmp_path]
    page = read_page(speak("de").get(f"{SEARCH}?like={shop['red mug'].pk}").text)
    assert {"Kaufpreis", "Wie wäre es hiermit?", "Ergebnisse"} <= page


def test_a_language_without_a_catalogue_is_english(speak: Speak, shop: dict[str, Any]) -> None:
    page = read_page(speak("pt").get(SEARCH).text)
    assert "What are you looking for?" in page


def test_a_right_to_left_language_sets_the_page_direction(
    speak: Speak, shop: dict[str, Any], settings: Any
) -> None:
    settings.LANGUAGES = [*settings.LANGUAGES, ("ar", "العربية")]
    assert '<html lang="ar" dir="rtl">' in speak("ar").get(SEARCH).text


def test_the_shop_offers_its_languages(speak: Speak, shop: dict[str, Any]) -> None:
    client = speak("en")
    assert 'name="language" value="de"' in client.get("/").text
    response = client.post(reverse("set_language"), {"language": "de"}, headers={"Referer": SEARCH})
    assert response.headers["Location"] == SEARCH
    assert "Wonach suchen Sie?" in client.get(SEARCH).text
