"""Measure how well the starter embedder understands six languages, beside English.

    python -m benchmarks.languages [--side 160] [--before]

`languages.csv` asks the same sixty questions in each language: in words, with an image and words,
and with words that refuse something. Half "a" was used to mend the list of words; half "b" was
written before it and only measured. Figures are nDCG@10 of the drawn catalogue, one image a
product, and beside them their ratio to English: without titles, with English titles, and with
titles in the language of the question. --before also prints all this without the list of words.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from django.utils import translation
from PIL import Image

from benchmarks.starter import Rows, embed, measure
from example_shop.catalogue import Item, draw, items
from mmsearch_app.embedders.starter import embedder as starter
from mmsearch_app.embedders.starter import wording
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.embedders.starter.languages import put_into_english
from mmsearch_app.inference import Content, take_apart

LANGUAGES = ("en", "de", "fr", "es", "it", "nl")
WAYS = ("words", "image + words", "refusing")
WITHOUT_WEIGHT = 0.5  # the default of the setting
HERE = Path(__file__).parent


class SeeingOnce(StarterEmbedder):
    """Sees each image object once in each colour, however often it is embedded."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[int, str], Any] = {}

    def _see(self, contents: Sequence[Content], aspects: Sequence[str] | None = None) -> list[Any]:
        shown = [
            ((id(content.image), aspect), content)
            for content, aspect in zip(contents, aspects or [""] * len(contents), strict=True)
        ]
        new = {k: c for k, c in shown if c.image is not None and k not in self._known}
        seen = super()._see([*new.values()], [aspect for _, aspect in new])
        self._known |= dict(zip(new, seen, strict=True))
        return [self._known.get(key) for key, _ in shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One of the questions: a row of `languages.csv`."""

    row: dict[str, str]

    @property
    def way(self) -> str:
        if self.row["not_colour"] or self.row["not_pattern"]:
            return "refusing"
        return "image + words" if self.row["shown"] else "words"

    def shown(self, goods: Sequence[Item]) -> int | None:
        """The number of the product whose image is shown."""
        looks = ["/".join((i.kind, i.colour, i.pattern)) for i in goods]
        return looks.index(self.row["shown"]) if self.row["shown"] else None

    def grade(self, item: Item, shown: Item | None) -> float:
        """0 for a wrong product; else 1, and more for the colour and the pattern asked for."""
        kind = self.row["kind"] or (shown.kind if shown else "")
        if item.kind != kind or item.colour == self.row["not_colour"]:
            return 0.0
        if item.pattern == self.row["not_pattern"]:
            return 0.0
        grade = 1.0
        for name in ("colour", "pattern"):
            wanted, own = self.row[name], getattr(shown, name, None)
            grade += 3.0 * (getattr(item, name) == wanted) if wanted else 0.0
            grade += 1.0 * (not wanted and getattr(item, name) == own)
        return grade


def read_questions() -> list[Asked]:
    with (HERE / "languages.csv").open(encoding="utf-8") as file:
        return [Asked(row=row) for row in csv.DictReader(file)]


def read_titles() -> dict[str, dict[str, str]]:
    """What kinds, colours and patterns are called in titles, by language and English name."""
    with (HERE / "languages_titles.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {language: {row["en"]: row[language] for row in rows} for language in LANGUAGES}


def title_in(item: Item, words: dict[str, str]) -> str:
    """The product's title; it leaves out the colour or pattern that the English one leaves out."""
    series = item.title.split()[0]
    looks = [name for name in (item.colour, item.pattern) if name[:4] in item.title.lower()]
    return ", ".join([f"{series} {words[item.kind]}", *(words[name] for name in looks)])


def vector(embedder: StarterEmbedder, content: Content) -> Rows:
    """The vector that a search computes: what is refused is taken off."""
    words = take_apart(content.text or "")
    if not words.unwanted or not (words.wanted or content.image):
        return embedder.embed_queries([content])[0]
    asked = [Content(image=content.image, text=words.wanted or None), Content(text=words.unwanted)]
    wanted, unwanted = embedder.embed_queries(asked)
    return wanted - WITHOUT_WEIGHT * unwanted


def evaluate(
    asked: Sequence[Asked], queries: Rows, documents: Rows, goods: Sequence[Item]
) -> dict[str, float]:
    """Mean nDCG@10 by way of asking, and of all questions."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for one, row in zip(asked, queries @ documents.T, strict=True):
        at = one.shown(goods)
        keep = np.arange(len(goods)) != (-1 if at is None else at)
        shown = None if at is None else goods[at]
        grades = np.array([one.grade(item, shown) for item in goods])
        found[one.way].append(measure(row[keep], grades[keep])[0])
    everything = [value for values in found.values() for value in values]
    return {way: float(np.mean(rows)) for way, rows in [*found.items(), ("all", everything)]}


def compare(embedder: StarterEmbedder, images: Sequence[Image.Image]) -> None:
    """Print the table of each half and each kind of title."""
    goods, asked, titles = items(), read_questions(), read_titles()

    def index(words: Sequence[str | None]) -> Rows:
        contents = [Content(image=i, text=w) for i, w in zip(images, words, strict=True)]
        return embed(embedder.embed_documents, contents)

    queries = {name: ask_all(embedder, asked, name, goods, images) for name in LANGUAGES}
    bare = dict.fromkeys(LANGUAGES, index([None] * len(goods)))
    report("without titles", asked, queries, bare)
    english = dict.fromkeys(LANGUAGES, index([item.title for item in goods]))
    report("English titles", asked, queries, english)
    own = {name: index([title_in(i, titles[name]) for i in goods]) for name in LANGUAGES}
    report("titles in the language", asked, queries, own)


def report(
    title: str, asked: Sequence[Asked], queries: dict[str, Rows], documents: dict[str, Rows]
) -> None:
    """Print the table of each half: nDCG@10 and its ratio to English."""
    for half in ("a", "b"):
        chosen = np.array([one.row["half"] == half for one in asked])
        some = [one for one in asked if one.row["half"] == half]
        head = "".join(f"{way:>16}" for way in (*WAYS, "all"))
        print(f"\n{f'half {half}, {title}':32}{head}")
        figures = {
            name: evaluate(some, queries[name][chosen], documents[name], items())
            for name in LANGUAGES
        }
        for name in LANGUAGES:
            cells = [f"{v:9.3f} {v / figures['en'][w]:6.3f}" for w, v in figures[name].items()]
            print(f"{name:32}{''.join(cells)}", flush=True)


def ask_all(
    embedder: StarterEmbedder,
    asked: Sequence[Asked],
    language: str,
    goods: Sequence[Item],
    images: Sequence[Image.Image],
) -> Rows:
    shown = [one.shown(goods) for one in asked]
    contents = [
        Content(image=None if at is None else images[at], text=one.row[language])
        for one, at in zip(asked, shown, strict=True)
    ]
    with translation.override(language):  # the visitor's page
        return np.array([vector(embedder, content) for content in contents])


def time_words(asked: Sequence[Asked]) -> None:
    """Print what putting a question into English costs, when it was never asked before."""
    texts = [one.row[name] for one in asked for name in LANGUAGES]
    put_into_english("rote Tasse")
    started = time.process_time()
    for text in texts:
        put_into_english.__wrapped__(text)
    print(f"\n{1000 * (time.process_time() - started) / len(texts):.3f} ms of CPU a question")


def main() -> None:
    import django
    from django.conf import settings

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--before", action="store_true")
    options = parser.parse_args()
    if not settings.configured:
        settings.configure()
    django.setup()
    time_words(read_questions())
    embedder = SeeingOnce()
    images = [draw(item, view=0, size=options.side) for item in items()]
    compare(embedder, images)
    if options.before:
        print("\nWithout the list of words:")
        as_it_is = {"put_into_english": str}
        with mock.patch.multiple(wording, **as_it_is), mock.patch.multiple(starter, **as_it_is):
            compare(embedder, images)


if __name__ == "__main__":
    main()
