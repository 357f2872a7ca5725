"""How the starter embedder understands the words of shoppers."""

from __future__ import annotations

import csv
from importlib.resources import files

import numpy as np
import pytest

from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.embedders.starter.wording import put_plainly
from tests.embedders.starter.parts import needs_weights


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a wool BEANIE", "a wool knitted hat"),
        ("Jumpers", "sweater"),
        ("scatter cushion, round", "throw pillow, round"),
        ("steel mug", "steel mug"),
        ("teepee", "teepee"),
        ("", ""),
    ],
)
def test_shop_words_are_replaced_by_plain_words(text: str, plain: str) -> None:
    assert put_plainly(text) == plain


@needs_weights
def test_the_table_has_only_words_that_the_encoder_gets_wrong(embedder: StarterEmbedder) -> None:
    text = files("mmsearch_app.embedders.starter").joinpath("data/shop_words.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert embedder._models is not None
    sentences, usual = embedder._models.sentences, embedder._models.usual
    words, plain = (
        sentences.embed([row[key] for row in rows]) - usual for key in ("word", "plain")
    )
    lengths = np.linalg.norm(words, axis=1) * np.linalg.norm(plain, axis=1)
    cosines = (words * plain).sum(axis=1) / lengths
    known = [row["word"] for row, cosine in zip(rows, cosines, strict=True) if cosine > 0.5]
    assert known == []


@needs_weights
@pytest.mark.parametrize(
    ("word", "classes"),
    [
        ("hoodie", {"sweatshirt"}),
        ("jumper", {"sweatshirt", "cardigan"}),
        ("jeans", {"jean"}),
        ("trousers", {"jean"}),
        ("t-shirt", {"jersey"}),
        ("tee", {"jersey"}),
        ("sneakers", {"running shoe"}),
        ("trainers", {"running shoe"}),
        ("cushion", {"pillow"}),
        ("mug", {"coffee mug"}),
        ("shades", {"sunglass", "sunglasses"}),
        ("sandals", {"sandal"}),
        ("gloves", {"mitten"}),
        ("scarf", {"stole"}),
        ("skirt", {"miniskirt", "overskirt", "hoopskirt"}),
        ("raincoat", {"trench coat"}),
        ("settee", {"studio couch"}),
        ("rucksack", {"backpack"}),
        ("underwear", {"brassiere", "swimming trunks"}),
        ("baby carriage", {"bassinet"}),
    ],
)
def test_a_shoppers_word_is_near_the_class_it_means(
    embedder: StarterEmbedder, word: str, classes: set[str]
) -> None:
    from mmsearch_app.embedders.starter.kinds import read_names

    models = embedder._models
    assert models is not None
    towards = models.names / np.linalg.norm(models.names, axis=1, keepdims=True)
    nearest = np.argsort(-(towards @ models.say([word])[0]))[:5]
    names = read_names("classes")
    assert classes & {names[i][0] for i in nearest}
