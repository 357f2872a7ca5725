"""A shop of gadgets: one source with a filter of every type."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.test import Client
from django.urls import reverse

from mmsearch_app import Filter, ImageSource
from mmsearch_app.testing import registered
from tests.shapes.gadgets import Gadget, Mood, Topic
from tests.shop import picture_file, work
from tests.shop_kit import found as found_anywhere

Invent = Callable[..., Gadget]


class Gadgets(ImageSource):
    name = "gadgets"
    image = "picture"
    title = "name"
    filters: ClassVar = {
        "tag": "tags",
        "tag-name": "tags.name",
        "topic": Filter("topics", ancestors="parent"),
        "topic-slug": Filter("topics.slug", ancestors="get_ancestors"),
        "maker": "maker",
        "poster": "poster",
        "note": "notes",
        "stars": "notes.stars",
        "size": "sizes",
        "shoe": Filter("sizes", type=int),
        "colour": Filter("attributes.colour", type=str),
        "width": Filter("attributes.parts.width", type=float),
        "price": ["price", "children.price"],
        "discounted": Filter("discounted", type=Decimal),
        "on_sale": Filter("on_sale", type=bool),
        "colours": Filter("colours", type=str),
        "weight": "weight",
        "stock": "stock",
        "sold": "sold",
        "made": "made",
        "day": "day",
        "made_on": Filter("made", type=date),
        "moment": Filter("day", type=datetime),
        "serial": "serial",
        "mood": "mood",
        "feeling": Filter("mood", type=Mood),
        "story": "story",
    }

    depends_on: ClassVar = {
        "shapes.Topic": ["gadgets", "children.gadgets", "children.children.gadgets"],
        "taggit.Tag": "gadget",
    }

    def visible_to(self, queryset: Any, user: Any, request: Any = None) -> Any:
        return queryset.filter(public=True)


@pytest.fixture
def invent(db: None) -> Iterator[Invent]:
    """Create a gadget with a picture: `invent("red lamp", stock=3, tags=["new"])`."""

    def make(
        name: str = "red gadget", *, tags: Any = (), topics: Any = (), **fields: Any
    ) -> Gadget:
        picture = picture_file(side=32 + 16 * Gadget.objects.count())
        gadget: Gadget = Gadget.objects.create(name=name, picture=picture, **fields)
        gadget.tags.add(*tags)
        gadget.topics.set(topics)
        return gadget

    with registered(Gadgets(Gadget)):
        yield make


def found(**filters: Any) -> set[str]:
    """First words of the names that a search with these filters finds, once all is indexed."""
    work()
    return found_anywhere(**filters)


def ask_page(client: Client, **filters: Any) -> Any:
    return client.get(reverse("mmsearch:search"), {"text": "gadget", **filters})


def found_everywhere(client: Client, **filters: Any) -> set[str]:
    """The same by Python, page and API, which must agree."""
    by_python = found(**filters)
    page = ask_page(client, **filters)
    assert page.status_code == 200, page.text
    by_page = {hit.title.split()[0] for hit in page.context["answer"].hits}
    body = json.dumps({"text": "gadget", **filters})
    api = client.post(reverse("mmsearch_api:search"), body, content_type="application/json")
    assert api.status_code == 200, api.text
    by_api = {hit["title"].split()[0] for hit in api.json()["results"]}
    assert by_python == by_page == by_api
    return by_python


def choices(client: Client, name: str) -> dict[str, str]:
    """The labels of what the page offers for a filter, by value."""
    work()
    facets = ask_page(client).context["facets"]
    return {c.value: c.label for facet in facets if facet.name == name for c in facet.choices}


def tree(*slugs: str) -> list[Topic]:
    """Topics, each below the one before."""
    topics: list[Topic] = []
    for slug in slugs:
        topics.append(Topic.objects.create(slug=slug, parent=topics[-1] if topics else None))
    return topics
