"""Random questions: each gets an answer or a report of what is wrong with it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

NAMES = ["text", "like", "without", "limit", "rerank", "image", "category", "price", "tag"]
NAMES += ["price__gte", "price__lte", "price__gt", "price__lt", "price__in", "category__in"]
NAMES += ["text__gte", "tag__gte", "price__", "__gte", "__", "unknown"]
NUMBERS = [0, 1, -1, 3, 2**63, 2**64, 10**100, -(10**400), 1.5, 1e300, 1e308, -0.0]
TEXTS = ["", "1", "red mug", "x" * 600, "\0", "é" * 200, "9" * 100, "1e400", "nan", "-inf"]
TRICKS = ["2020-13-45", "' or 1=1 --", "%s %(a)s", "{{", "../..", "http://localhost/", '\\"']
DIGITS = ["0x10", "１２", "1_000", "+1", " 1 ", "1,5"]
NESTED: list[Any] = [[], [1], ["a"], [[]], {}, {"a": 1}, ["1", "2"], [None], [True, 1.5, "x"]]
VALUES = [None, True, False, *NUMBERS, *TEXTS, *TRICKS, *DIGITS, *NESTED]


def flat(value: Any) -> Any:
    """The question as form data."""
    return [str(part) for part in value] if isinstance(value, list) else str(value)


@pytest.mark.parametrize("seed", range(4))
def test_random_questions_never_cause_a_server_error(
    use: Callable[..., None], fill: Callable[[], Any], seed: int
) -> None:
    use(THROTTLE_RATE=None)
    fill()
    dice, client, address = random.Random(seed), Client(), reverse("mmsearch_api:search")
    for _ in range(250):
        question = {dice.choice(NAMES): dice.choice(VALUES) for _ in range(dice.randrange(3))}
        question |= {"text": "red mug"} if dice.random() < 0.8 else {}
        if dice.random() < 0.5:
            body: Any = json.dumps(question)
            response = client.post(address, body, content_type="application/json")
        else:
            body = {name: flat(value) for name, value in question.items()}
            response = client.post(address, body)
        assert response.status_code in {200, 400}, question
