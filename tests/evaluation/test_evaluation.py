"""Questions with known answers: reading them, and the measures."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mmsearch_app.evaluation import Judged, evaluate
from mmsearch_app.evaluation.metrics import average_precision, ndcg, recall_at
from tests.shapes.models import Garment, Media
from tests.shop import Catalogue, Sell, picture_file, work

pytestmark = pytest.mark.django_db


def test_the_measures_are_those_of_the_papers() -> None:
    relevant = {"a": 1.0, "b": 2.0}
    assert recall_at(["x", "a", "b"], relevant, k=2) == 0.5
    assert average_precision(["x", "a", "b"], relevant, k=3) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert ndcg(["b", "a"], relevant, k=2) == 1.0
    assert 0 < ndcg(["a", "b"], relevant, k=2) < 1


def test_a_composed_question_is_also_asked_by_each_half(shop: Catalogue) -> None:
    question = {"like": shop["red mug"].pk, "text": "shirt", "relevant": [shop["red shirt"].pk]}
    table = evaluate([Judged.from_json(question)], k=3)
    assert list(table) == ["composed", "composed, words only", "composed, picture only"]
    assert table["composed"]["recall@1"] == 1


def twins(sell: Sell) -> str:
    """Index products of two models with the same primary key; returns that key."""
    mug = sell("red mug")
    media = Media.objects.create(file=picture_file("red", side=48))
    Garment.objects.create(code=str(mug.pk), name="red coat", photo=media)
    work()
    return str(mug.pk)


def test_products_of_two_models_with_the_same_key_are_distinguished(sell: Sell) -> None:
    key = twins(sell)
    question = Judged(text="red coat", relevant={f"shapes.garment:{key}": 1})
    row = evaluate([question], k=2)["words"]
    assert (row["recall@1"], row["recall@2"]) == (1, 1)
    other = Judged(text="red coat", relevant={f"example_shop.product:{key}": 1})
    row = evaluate([other], k=2)["words"]
    assert (row["recall@1"], row["recall@2"]) == (0, 1)


def test_an_ambiguous_key_must_name_its_source(sell: Sell) -> None:
    key = twins(sell)
    which = f"example_shop.product:{key} or shapes.garment:{key}"
    with pytest.raises(ValueError, match=which):
        evaluate([Judged(text="red", relevant={key: 1})])


def test_an_answer_that_is_not_a_product_is_refused(shop: Catalogue) -> None:
    with pytest.raises(ValueError, match="\"relevant\": there is no product 'nope'"):
        evaluate([Judged(text="red", relevant={"nope": 1})])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"text": "x", "relevant": {"1": 0}}', "the grade of '1' must be a number above 0"),
        ('{"text": "x", "relevant": {"1": NaN}}', "the grade of '1' must be a number above 0"),
        ('{"text": "x", "relevant": {"1": "a"}}', "the grade of '1' must be a number above 0"),
        ('{"text": "x", "relevant": []}', '"relevant" must be a list of primary keys'),
        ('{"text": "x", "relevant": "1"}', '"relevant" must be a list of primary keys'),
        ('{"text": "x", "relevant": [[1]]}', "unhashable"),
        ("[1]", "a question must be a JSON object"),
        ("{", "Expecting property name"),
        ("[" * 100_000, "recursion"),
        ('{"text": 5, "relevant": [1]}', '"text" cannot be 5'),
        ('{"text": "x", "filters": "a", "relevant": [1]}', "\"filters\" cannot be 'a'"),
        ('{"text": "x", "like": true, "relevant": [1]}', '"like" cannot be True'),
        ('{"text": "x", "nope": 1, "relevant": [1]}', r"unknown keys \['nope'\]"),
        (b'{"text": "\xff", "relevant": [1]}', "can't decode byte 0xff"),
    ],
)
def test_an_invalid_line_is_named(tmp_path: Path, line: Any, why: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_bytes(b"\n" + (line if isinstance(line, bytes) else line.encode()))
    with pytest.raises(CommandError, match=f"line 2: .*{why}"):
        call_command("mmsearch_evaluate", file)


def test_the_command_prints_a_row_for_each_kind(shop: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    question = {"text": "red mug", "relevant": [shop["red mug"].pk]}
    file.write_text(json.dumps(question), encoding="utf-8-sig")
    out = StringIO()
    call_command("mmsearch_evaluate", file, stdout=out)
    assert [line.split()[:3] for line in out.getvalue().splitlines()[1:]] == [
        ["words", "1", "1.000"]
    ]
