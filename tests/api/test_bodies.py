"""Request bodies that cannot be read."""

from __future__ import annotations

import bz2
import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.api.conftest import Ask, problem

MB = 1 << 20


def post(body: bytes | str, content_type: str = "application/json", **extra: Any) -> Any:
    return Client().post(reverse("mmsearch_api:search"), body, content_type=content_type, **extra)


def test_a_json_of_twenty_megabytes_is_too_large(db: None) -> None:
    problem(post(json.dumps({"text": "x" * (20 * MB)})), 413)


def test_json_is_counted_exactly(db: None) -> None:
    def padded(size: int) -> str:
        return '{"limit": 1}'.ljust(size)

    problem(post(padded(64 * 1024)), 400)
    problem(post(padded(64 * 1024 + 1)), 413)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "not json",
        '{"text": NaN}',
        '{"limit": Infinity}',
        "[" * 30_000,
        '{"a":' * 10_000,
        b'\xff\xfe{\x00"\x00',
        b'{"text": "\xff"}',
        '{"limit": ' + "9" * 5_000 + "}",
        '{"text": "\\ud800"}',
        '{"text": "mug", "tag": "\\ud800"}',
        '{"text": "mug", "tag": ["a", "\\u0000"]}',
        '{"text": "mug", "price": 1e999}',
        '{"text": "mug", "price": [-1e999]}',
        '{"text": "mug", "price__gte": 1e999}',
    ],
)
def test_json_with_invalid_types_is_refused(db: None, body: Any) -> None:
    problem(post(body), 400)


@pytest.mark.parametrize("body", ["[]", '"mug"', "3", "true", "null", "[[{}]]"])
def test_json_that_is_not_an_object_is_refused(db: None, body: str) -> None:
    assert "object is expected" in problem(post(body), 400)["detail"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "image/png", "application/xml", "*"]
)
def test_other_content_types_are_unsupported(db: None, kind: str) -> None:
    problem(post(b"text=mug", kind), 415)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 210]
)
def test_a_form_without_a_boundary_is_refused(db: None, kind: str) -> None:
    problem(post(b"--x\r\n", kind), 400)


def test_a_charset_that_decompresses_is_not_used(db: None) -> None:
    body = bz2.compress(b'{"text": "' + b"x" * MB + b'"}')
    kind = "application/json; charset=bz2_codec"
    address = reverse("mmsearch_api:search")
    response = Client().generic("POST", address, body, content_type=kind)
    problem(response, 400)


def test_the_text_fields_of_a_form_have_a_limit(ask: Ask, db: None) -> None:
    problem(ask(form=True, text="x" * (3 * MB)), 413)


def test_too_many_fields_are_refused(ask: Ask, db: None) -> None:
    problem(ask(form=True, **{f"x{number}": "1" for number in range(1_100)}), 400)
