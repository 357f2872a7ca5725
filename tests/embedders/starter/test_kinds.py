"""Kinds of thing that words mean and images show, also those without a class of their own."""

from __future__ import annotations

import csv
from importlib.resources import files

import numpy as np
import pytest

from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.embedders.starter.kinds import (
    ANIMALS,
    FIRST_THING,
    KINDS,
    find_kind,
    meant_kinds,
    read_names,
    seen_kinds,
    worn_share,
)
from tests.embedders.starter.parts import Rows, needs_weights


def certain(*classes: str) -> Rows:
    names = [names[0] for names in read_names("classes")]
    posteriors = np.zeros((1, 1000), np.float32)
    for name in classes:
        posteriors[0, names.index(name)] = 1 / len(classes)
    return posteriors


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Harbour stoneware mug, 350 ml", "mug"),
        ("Red leather dress shoes", "shoes"),
        ("a jacket with two pockets for your phone", "jacket"),
        ("Running Shoes", "running shoes"),
        ("Set of 4 wine glasses", "wine glasses"),
        ("Knives", "knives"),
        ("Apple Tree No. 7", ""),
        ("", ""),
    ],
)
def test_the_kind_that_a_title_names_is_found(text: str, kind: str) -> None:
    assert find_kind(text) == kind


def test_the_table_names_each_word_once_and_only_classes_that_exist() -> None:
    text = files("mmsearch_app.embedders.starter").joinpath("data/looks.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    words = [word for row in rows for word in row["words"].split("|")]
    assert len(words) == len(set(words))
    assert {name for row in rows for name in row["classes"].split("; ")} <= {
        names[0] for names in read_names("classes")
    }


def test_seen_kinds_have_length_one_and_animals_of_a_range_are_one_kind() -> None:
    rows = seen_kinds(np.concatenate([certain("tabby", "gown"), certain("Persian cat", "gown")]))
    assert rows.shape == (2, KINDS)
    np.testing.assert_allclose(rows[0], rows[1])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert max(ANIMALS) < FIRST_THING


def test_garments_are_worn_and_mugs_are_not() -> None:
    assert worn_share(certain("jersey"))[0] == 1
    assert worn_share(certain("coffee mug"))[0] == 0


@needs_weights
@pytest.mark.parametrize(
    ("word", "looks", "other"),
    [
        ("dress", "hoopskirt", "wardrobe"),
        ("jacket", "trench coat", "book jacket"),
        ("cap", "baseball", "bottlecap"),
        ("pumps", "Loafer", "gas pump"),
        ("earrings", "hair slide", "ear"),
        ("headphones", "stethoscope", "web site"),
        ("suitcase", "chest", "container ship"),
        ("shoes", "sandal", "ski"),
    ],
)
def test_words_mean_what_the_thing_looks_like(
    embedder: StarterEmbedder, word: str, looks: str, other: str
) -> None:
    models = embedder._models
    assert models is not None
    meant = meant_kinds(word, models.say([word])[0], models.towards)
    assert meant @ seen_kinds(certain(looks))[0] > meant @ seen_kinds(certain(other))[0]
    assert np.linalg.norm(meant) == pytest.approx(1, abs=1e-5)
