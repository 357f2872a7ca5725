"""What the words refuse is kept away, in the languages of the pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from mmsearch_app import search
from mmsearch_app.inference import LANGUAGES, take_apart
from tests.shop import Sell, work
from tests.shop_kit import titles


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("mug without stripes", "mug", "stripes"),
        ("mug, no logo, please", "mug, please", "logo"),
        ("not red but blue", "but blue", "red"),
        ("mug without stripes in blue", "mug in blue", "stripes"),
        ("a mug with no handle and dots", "a mug", "handle and dots"),
        ("mug that isn’t red", "mug that", "red"),
        ("MUG WITHOUT STRIPES", "MUG", "STRIPES"),
        ("red mug not striped not dotted", "red mug", "striped, dotted"),
        ("mug (no dots) blue", "mug blue", "dots"),
        ("like this but without dots", "like this but", "dots"),
        ("T-shirt without logo, but with stripes", "T-shirt, but with stripes", "logo"),
        ("rote Tasse ohne Streifen", "rote Tasse", "Streifen"),
        ("Tasse, aber nicht gestreift", "Tasse", "gestreift"),
        ("T-Shirt ohne Aufdruck mit Tasche", "T-Shirt mit Tasche", "Aufdruck"),
        ("mug rouge sans rayures", "mug rouge", "rayures"),
        ("robe pour l'été, pas de fleurs", "robe pour l'été", "fleurs"),
        ("taza roja con flores, pero no en azul", "taza roja con flores", "azul"),
        ("una taza sin rayas con flores", "una taza con flores", "rayas"),
        ("tazza senza righe ma con fiori", "tazza ma con fiori", "righe"),
        ("mok zonder strepen met bloemen", "mok met bloemen", "strepen"),
        ("mug w/o stripes", "mug", "stripes"),
        ("mug, neither red nor blue", "mug", "red, blue"),
        ("mug excluding red", "mug", "red"),
        ("Tasse, weder rot noch blau", "Tasse", "rot noch blau"),
        ("mug aucune rayure", "mug", "rayure"),
        ("taza con flores, ninguna raya", "taza con flores", "raya"),
        ("tazza con fiori, nessuna riga", "tazza con fiori", "riga"),
    ],
)
def test_a_negation_refuses_what_follows_it(text: str, wanted: str, unwanted: str) -> None:
    with translation.override("de" if "Tasche" in text else "en"):
        found = take_apart(text)
    assert (found.wanted, found.unwanted) == (wanted, unwanted)


@pytest.mark.parametrize(
    "text",
    [
        "red mug",
        "",
        "no",
        "without",
        "mug without",
        "no show socks",
        "no-iron shirt",
        "chanel no 5",
        "not only red",
        "comic sans serif",
        "non-stick pan",
        "without a doubt my mug",
        "ohne Zweifel mein Becher",
        "noch ein Becher",
        "sin city t-shirt",
        "nothing",
        "knot",
    ],
)
def test_words_without_a_negation_stay_as_they_are(text: str) -> None:
    assert take_apart(text).wanted == text
    assert not take_apart(text).unwanted


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("es", "taza sin rayas"),
        ("fr", "mug pas rayé"),
        ("it", "tazza non rossa"),
        ("nl", "mok zonder strepen"),
        ("fr", "mug ni rouge ni bleu"),
        ("es", "taza ni roja ni azul"),
        ("it", "tazza né rossa né blu"),
        ("nl", "mok noch rood noch blauw"),
        ("de", "Becher ohne Streifen"),
        ("en", "mug without stripes"),
    ],
)
def test_each_language_of_the_pages_has_its_negations(language: str, text: str) -> None:
    assert language in LANGUAGES
    with translation.override(language):
        assert take_apart(text).unwanted


def test_a_striped_mug_is_not_the_first_answer_to_a_mug_without_stripes(sell: Sell) -> None:
    for title in ("red mug with stripes", "green mug", "blue shirt"):
        sell(title)
    work()
    assert titles(search("mug without stripes"))[0] == "green mug"
    assert titles(search("mug stripes"))[0] == "red mug with stripes"


def test_what_is_refused_is_kept_away_from_a_product_like_this(shop: Any) -> None:
    def score(**query: Any) -> float:
        hits = search(like=shop["red mug"], **query).hits
        return next(hit.score for hit in hits if hit.title == "red shirt")

    assert score(text="without shirt") < score() - 0.1
    assert score(text="without shirt") == pytest.approx(score(without="shirt"))


def test_words_that_only_refuse_something_are_searched_for_as_they_are(shop: Any) -> None:
    assert search("not red").hits


def test_negations_can_be_left_to_the_model(sell: Sell, use: Any) -> None:
    use(READ_NEGATIONS=False)
    for title in ("red mug with stripes", "green mug"):
        sell(title)
    work()
    assert titles(search("mug without stripes"))[0] == "red mug with stripes"
