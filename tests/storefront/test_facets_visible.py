"""Facets and suggestions offer only what this visitor may see."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.db.models import Q
from django.test import Client

from mmsearch_app import Filter, ImageSource
from mmsearch_app.testing import registered
from tests.gadgets import Gadgets, ask_page, tree
from tests.shapes.gadgets import Gadget, Maker, Mood
from tests.shapes.models import Poster
from tests.shop import picture_file, work

pytestmark = pytest.mark.django_db
NAMES = ("tag", "tag-name", "topic", "topic-slug", "maker", "size", "mood", "feeling", "story")


class ForMembers(Gadgets):
    def visible_to(self, queryset: Any, user: Any, request: Any = None) -> Any:
        known = user is not None and user.is_authenticated
        return queryset if known else queryset.filter(public=True)


def invent_secret() -> Gadget:
    gadget: Gadget = Gadget.objects.create(
        name="secret gadget",
        picture=picture_file(),
        public=False,
        maker=Maker.objects.create(code="secret"),
        sizes=["secret"],
        mood=Mood.WILD,
        story="secret",
        price=Decimal(7),
    )
    gadget.tags.add("secret")
    gadget.topics.set(tree("secret-root", "secret-leaf")[1:])
    return gadget


def offered(client: Client) -> dict[str, list[str]]:
    facets = {facet.name: facet for facet in ask_page(client).context["facets"]}
    return {
        name: [choice.label for choice in facets[name].choices] if name in facets else []
        for name in NAMES
    }


def test_a_visitor_is_offered_only_values_of_visible_products(client: Client) -> None:
    with registered(ForMembers(Gadget)):
        invent_secret()
        work()
        assert not any(offered(client).values())
        client.force_login(User.objects.create(username="member"))
        shown = offered(client)
        assert all(shown[name] for name in NAMES)
        assert shown["topic"] == ["Secret-Root", "Secret-Leaf"]


class Limited(Gadgets):
    filters: ClassVar[Any] = {
        **Gadgets.filters,
        "topic": Filter("topics", ancestors="parent", limit_choices_to=Q(slug="root")),
        "maker": Filter("maker", limit_choices_to=Q(code="known")),
    }


def test_only_the_related_objects_of_the_limit_are_offered(client: Client) -> None:
    with registered(Limited(Gadget)):
        for code in ("known", "secret"):
            maker = Maker.objects.create(code=code)
            Gadget.objects.create(name=f"{code} gadget", picture=picture_file(), maker=maker)
        Gadget.objects.get(maker__code="known").topics.set(tree("root", "leaf")[1:])
        work()
        shown = offered(client)
        assert shown["topic"] == ["Root"]
        assert len(shown["maker"]) == 1


def test_the_hidden_product_gives_no_suggestion(client: Client) -> None:
    with registered(ForMembers(Gadget)):
        secret = invent_secret()
        work()
        answer = client.get("/find/", {"like": f"shapes.gadget:{secret.pk}", "text": "x"})
        assert "price__lt=7" not in answer.text
        client.force_login(User.objects.create(username="member"))
        answer = client.get("/find/", {"like": f"shapes.gadget:{secret.pk}", "text": "x"})
        assert "price__lt=7.00" in answer.text


def test_a_source_whose_rule_raises_offers_nothing(client: Client) -> None:
    class Broken(Gadgets):
        def visible_to(self, queryset: Any, user: Any, request: Any = None) -> Any:
            raise RuntimeError("no channel")

    with registered(Broken(Gadget)):
        invent_secret()
        work()
        assert not any(offered(client).values())


def test_values_of_all_sources_are_offered(client: Client) -> None:
    attributes = {"name": "p", "image": "picture", "filters": {"story": "name"}}
    posters = type("P", (ImageSource,), attributes)
    with registered(Gadgets(Gadget)), registered(posters(Poster)):
        Gadget.objects.create(name="a gadget", picture=picture_file(), story="told")
        Poster.objects.create(name="sea", picture=picture_file())
        work()
        assert offered(client)["story"] == ["told", "sea"]


def test_a_bound_with_a_time_survives_the_form(client: Client) -> None:
    with registered(Gadgets(Gadget)):
        Gadget.objects.create(name="a gadget", picture=picture_file())
        work()
        asked = {"made__gte": "2026-11-28T12:00", "made__lte": "2026-11-29", "price__gte": "1.5"}
        page = ask_page(client, **asked)
        facets = {facet.name: facet for facet in page.context["facets"]}
        assert facets["made"].kept == (("made__gte", "2026-11-28T12:00"),)
        assert (facets["made"].minimum, facets["made"].maximum) == ("", "2026-11-29")
        assert (facets["price"].minimum, facets["price"].kept) == ("1.5", ())
        both = {"made__gte": ["2026-11-28T12:00", "2026-11-27"]}  # hidden, and typed
        page = ask_page(client, **both)
        assert page.context["form"].filters["made__gte"] == ["2026-11-27"]
        wrong = ask_page(client, made__gte="someday")
        assert wrong.status_code == 400
        assert [facet.kept for facet in wrong.context["facets"] if facet.name == "made"] == [()]
