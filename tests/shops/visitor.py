"""A visitor who searches by the page, and the worker that indexes for it."""

from __future__ import annotations

from typing import Any

from bs4 import BeautifulSoup, Tag
from django.conf import settings
from django.core.files.storage import default_storage
from django.test import Client

from mmsearch_app.indexing import drain
from tests.shops.pictures import upload

FIND = "/find/"
API = "/api/mmsearch/v1/search/"


def index() -> None:
    """Do what a worker does: index all that was marked, and nothing else."""
    drained = drain()
    assert not drained.problem, drained.problem


def cards(page: Any) -> dict[str, Tag]:
    """The cards of a results page by their titles, in order."""
    soup = BeautifulSoup(page.content, "html.parser")
    fault = soup.select_one(".mmsearch-fault, .mmsearch-empty")
    assert page.status_code == 200, (page.status_code, fault and fault.text)
    found = {}
    for card in soup.select(".mmsearch-card"):
        title = card.select_one(".mmsearch-card-title")
        assert title is not None
        found[title.text.strip()] = card
    return found


def find(text: str = "", *, client: Client | None = None, **parameters: Any) -> dict[str, Tag]:
    """What the results page shows for an address, as a visitor without an account sees it."""
    given = {"text": text, **parameters} if text else parameters
    return cards((client or Client()).get(FIND, given))


def find_by_picture(colour: str, text: str = "") -> dict[str, Tag]:
    """What the results page shows for an uploaded picture."""
    return cards(Client().post(FIND, {"image": upload(colour, side=64), "text": text}))


def coloured(colour: str) -> set[str]:
    """Titles of the products that have a picture of this colour, as far as the index knows."""
    found = ask(image=upload(colour, side=64))
    return {result["title"] for result in found if result["score"] > 0.5}


def ask(**parameters: Any) -> list[dict[str, Any]]:
    """The results of the API."""
    response = Client().post(API, parameters)
    assert response.status_code == 200, response.content
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def link(card: Tag) -> str:
    found = card.select_one("a.mmsearch-card-link")
    return str(found["href"]) if found else ""


def stored(address: str) -> bytes:
    """The file that the shop's media server sends for an address."""
    assert address.startswith(settings.MEDIA_URL), address
    with default_storage.open(address.removeprefix(settings.MEDIA_URL)) as file:
        return bytes(file.read())


def image(card: Tag) -> Tag:
    found = card.select_one("img")
    assert found is not None, card
    return found
