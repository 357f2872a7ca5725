"""Whatever a filter is given, the answer is found products or a sentence about the filter."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any, get_args

import pytest
from django.test import Client
from django.urls import reverse

from mmsearch_app import InvalidQuery, search
from mmsearch_app.indexes import Condition, Operator
from mmsearch_app.indexes.records import make_facets, matches
from mmsearch_app.sources import UNFIT, FilterSpec
from tests.gadgets import Gadgets, Invent, ask_page, tree
from tests.shapes.gadgets import Gadget, Maker, Mood
from tests.shop import work

pytestmark = pytest.mark.django_db
SERIAL = uuid.uuid4()
TEXTS = [
    "x", " ", "0", "-1", "1.5", "1e999", "NaN", "٣", "true", "2026-11-28", "2026-13-45", "12:00",
    "0001-01-01", "9999-12-31T23:59:59Z", "a\0b", "x" * 300, "' OR 1=1 --", '"]) or (id != "',
    "12345678123456781234567812345678", "%", "_", "\\", "{}", "[1]", "null", "日本", "\u202e",
]  # fmt: skip
OBJECTS: list[Any] = [
    None, True, 0, -1, 2**80, 1.5, float("inf"), {}, {"a": 1}, [], [[]], [None], [{"a": [1]}],
    b"x", object(), 1j, type, "\ud800",
]  # fmt: skip


BY_ADDRESS = [value for value in TEXTS if value in ("1.5", "1e999", "2026-13-45", "a\0b", "{}")]


@pytest.fixture(autouse=True)
def _gadget(invent: Invent, use: Any) -> None:
    use(THROTTLE_RATE=None)
    maker = Maker.objects.create(code="m")
    topics = tree("a", "b")
    invent("red gadget", tags=["t"], topics=topics, maker=maker, sizes=["S", {"a": 1}], price=1)
    work()


def ask_api(client: Client, **filters: Any) -> Any:
    body = json.dumps({"text": "x", **filters})
    address = reverse("mmsearch_api:search")
    return client.post(address, body, content_type="application/json")


@pytest.mark.parametrize("name", Gadgets.filters)
def test_every_value_is_answered(client: Client, name: str) -> None:
    for key in (name, *(f"{name}__{operator}" for operator in ("lte", "in"))):
        for value in (*TEXTS, *OBJECTS):
            with suppress_for(key):
                search("gadget", filters={key: value})
    for key in (name, f"{name}__lte"):
        for value in BY_ADDRESS:
            assert ask_page(client, **{key: value}).status_code in (200, 400), value
            assert ask_api(client, **{key: value}).status_code in (200, 400, 422), value


@contextmanager
def suppress_for(key: str) -> Iterator[None]:
    """Let a refusal pass if it names the filter and says why."""
    try:
        yield
    except InvalidQuery as error:
        if error.field != key or not str(error):
            raise


@pytest.mark.parametrize("spec", Gadgets(Gadget).filter_specs.values(), ids=lambda spec: spec.name)
def test_what_a_row_may_contain_is_stored_or_left_out(spec: FilterSpec) -> None:
    kind = spec.type
    for raw in (*TEXTS, *OBJECTS, Decimal("1e-400"), date.max, datetime.min, Mood.CALM, SERIAL):
        try:
            value = kind.read(raw)
        except UNFIT:
            continue
        stored = make_facets({"it": kind.scalars(value)})
        assert stored["texts"]["it"]
        assert kind.read(raw) == value
        if isinstance(value, str) and "\0" in value:
            continue
        wanted = kind.parse(raw, bound=True)
        assert wanted.first <= value <= wanted.last
        assert matches(stored, Condition(name="it", operator="in", values=(kind.equal(wanted),)))
        for operator in get_args(Operator)[1:] if kind.ordered else ():
            bound, number = kind.limit(operator, wanted)
            found = matches(stored, Condition(name="it", operator=bound, values=(number,)))
            assert found or operator in ("gt", "lt")
