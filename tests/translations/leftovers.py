"""Find this project's English texts on a page in another language."""

from __future__ import annotations

from gettext import GNUTranslations
from html.parser import HTMLParser
from pathlib import Path

import mmsearch_app

LOCALE = Path(mmsearch_app.__file__).parent / "locale"
SPOKEN = {"alt", "aria-label", "content", "placeholder", "title"}


class _Reader(HTMLParser):
    """Collects the texts of a page that are shown, read aloud or used by a script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        spoken = SPOKEN | ({"value"} if tag == "input" else set())
        for key, value in attrs:
            # Attributes that begin with data-mmsearch- are for scripts; other data- are sentences.
            if key in spoken or (key.startswith("data-") and not key.startswith("data-mmsearch-")):
                self.said.append(value or "")


def read_page(html: str) -> set[str]:
    """Every text of a page, each with its whitespace collapsed."""
    return {" ".join(text.split()) for text in _Reader(html).said} - {""}


def find_leftovers(html: str, language: str) -> set[str]:
    """Texts on the page that have a translation in `language`."""
    with (LOCALE / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        catalogue = GNUTranslations(file)
    return {text for text in read_page(html) if catalogue.gettext(text) != text}
