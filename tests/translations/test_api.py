"""The API answers in the caller's language, even for repeated and late answers."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from tests.api.conftest import problem
from tests.searching.reranking.conftest import Use
from tests.searching.reranking.parts import Moody
from tests.translations.conftest import Speak
from tests.translations.parts import Polyglot

ASK = "/api/mmsearch/v1/search/"
TOO_OLD = "Diese Suche ist abgelaufen; bitte suchen Sie noch einmal."


def ask(client: Client, **question: Any) -> Any:
    return client.post(ASK, question, content_type="application/json")


@pytest.mark.parametrize(
    ("question", "detail"),
    [
        ({}, "Geben Sie mindestens eines davon an: text, like."),
        ({"like": "0"}, "Dieses Produkt ist nicht verfügbar"),
        ({"text": "a", "wish": 1}, "Es gibt kein Feld 'wish'; es gibt: "),
        ({"text": "a", "image": "b"}, "Senden Sie Bilder als multipart/form-data; "),
        ({"text": "a", "price": [None]}, "Geben Sie einen Text, eine Zahl oder einen "),
        ({"text": 501 * "a"}, "Stelle sicher, dass dieses Feld nicht mehr als 500 Zeichen "),
    ],
)
def test_problems(speak: Speak, shop: Any, question: dict[str, Any], detail: str) -> None:
    document = problem(ask(speak("de"), **question), 400)
    assert document["detail"].startswith(detail)


def test_the_same_problem_in_each_language(speak: Speak, shop: Any) -> None:
    bad = {"image": SimpleUploadedFile("a.png", b"")}
    said = {code: speak(code).post(ASK, bad).json()["errors"]["image"] for code in ("de", "fr")}
    assert said == {"de": ["Die Datei ist leer."], "fr": ["Le fichier est vide."]}


def test_numbers_are_written_as_the_language_does(speak: Speak, shop: Any, use: Use) -> None:
    use(MAX_IMAGE_BYTES=3 << 19)
    big = {"image": SimpleUploadedFile("a.png", bytes(1 << 21))}
    detail = problem(speak("fr").post(ASK, big), 413)["detail"]
    assert detail == "Ce fichier est trop volumineux\xa0: 1,5 Mo au maximum."


def test_too_many_searches(speak: Speak, shop: Any, use: Use) -> None:
    use(THROTTLE_RATE="1/min")
    client = speak("de")
    ask(client, text="mug")
    detail = problem(ask(client, text="mug"), 429)["detail"]
    assert detail.startswith("Zu viele Suchanfragen: Bitte warten Sie ")


def test_a_link_that_is_too_old(speak: Speak, shop: Any, settings: Any) -> None:
    token = ask(speak("en"), text="mug").json()["id"]
    cache.clear()
    address = reverse("mmsearch_api:page", args=[token])
    assert problem(speak("de").get(address), 410)["detail"] == TOO_OLD
    assert problem(speak("en").get(address), 410)["detail"] != TOO_OLD


def test_notes_of_a_late_order_are_in_the_readers_language(speak: Speak, mugs: type[Moody]) -> None:
    mugs.said.update(repairs=2, agreement=0.25)
    late = ask(speak("en"), text="red mug").json()["rerank"]["url"]
    notes = {code: speak(code).get(late).json()["notes"] for code in ("en", "de", "fr", "en")}
    assert notes["en"] == [
        "2 repairs of the reranker's reply.",
        "The reranker agrees with itself by 0.25: its weight is 0.25.",
    ]
    assert notes["de"] == [
        "2 Reparaturen an der Antwort des Rerankers.",
        "Der Reranker stimmt zu 0,25 mit sich überein: Sein Gewicht ist 0,25.",
    ]
    assert notes["fr"][0] == "2 réparations de la réponse du reclasseur."


def test_the_model_is_asked_once_in_each_language(speak: Speak, shop: Any, use: Use) -> None:
    use(RERANKER={"BACKEND": "tests.translations.parts.Polyglot"}, RERANK_WEIGHT=1.0)
    Polyglot.asked.clear()
    first = ask(speak("en"), text="red mug").json()["rerank"]["url"]
    reasons = [speak(code).get(first).json()["reason"] for code in ("de", "nl", "de", "en")]
    again = ask(speak("nl"), text="red mug").json()
    assert reasons == ["de", "nl", "de", "en-gb"]
    assert (again["ranked_by"], again["reason"]) == ("reranker", "nl")
    assert Polyglot.asked == ["de", "nl", "en-gb"]


def test_a_late_order_that_fails_says_why(speak: Speak, mugs: type[Moody]) -> None:
    late = ask(speak("en"), text="red mug").json()["rerank"]["url"]
    mugs.fails = True
    (note,) = speak("de").get(late).json()["notes"]
    assert note == "Reihenfolge des Index: Der Reranker ist fehlgeschlagen (ConnectionError)."


def test_the_deadline_of_a_reranker_is_formatted_in_the_visitors_language(
    speak: Speak, mugs: type[Moody], use: Use
) -> None:
    use(RERANK_TIMEOUT=0.2)
    late = ask(speak("en"), text="red mug").json()["rerank"]["url"]
    mugs.gate.clear()
    (note,) = speak("de").get(late).json()["notes"]
    assert note == "Reihenfolge des Index: Der Reranker brauchte länger als 0,2 Sekunden."
