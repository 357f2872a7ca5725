"""What visitors of a Wagtail site find, and how it is shown."""

from __future__ import annotations

from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.db import connection
from django.template import Context, Template
from django.test import Client
from django.test.utils import CaptureQueriesContext
from wagtail.models import Collection, CollectionViewRestriction, Locale, PageViewRestriction, Site

from mmsearch_app import search
from mmsearch_app.contrib.wagtail import PageImages
from tests.shops.pictures import width
from tests.shops.visitor import API, ask, cards, coloured, find, image, index, link, stored
from tests.shops.wagtail.conftest import Shop, photograph
from tests.shops.wagtail.models import ProductPage

ALL = {"Red mug", "Blue mug", "Linen shirt"}


def sign_in(*groups: str, name: str = "visitor") -> Client:
    user = get_user_model().objects.create_user(name, password="secret")
    user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
    client = Client()
    client.force_login(user)
    return client


def restrict(page: Any, kind: str, **fields: Any) -> PageViewRestriction:
    return PageViewRestriction.objects.create(page=page, restriction_type=kind, **fields)


def test_one_line_in_the_settings_passes_the_checks() -> None:
    ours = [found for found in run_checks() if (found.id or "").startswith("mmsearch")]
    assert {found.id for found in ours} <= {"mmsearch_app.W001", "mmsearch_app.W002"}


def test_pages_are_found_by_words_and_by_any_of_their_pictures(shop: Shop) -> None:
    assert set(find("mug")) == ALL
    assert next(iter(find("blue mug"))) == "Blue mug"
    assert coloured("red") == {"Red mug"}
    assert coloured("green") == {"Linen shirt"}, "by a picture of its gallery"


def test_a_card_links_to_the_page_and_shows_renditions(shop: Shop) -> None:
    for title, card in find("mug").items():
        assert link(card) == shop.pages[title].url
        assert Client().get(link(card)).status_code == 200
        assert width(stored(str(image(card)["src"]))) == 400


def test_a_card_has_a_sharper_rendition_for_dense_screens(shop: Shop) -> None:
    card = find("mug")["Linen shirt"]
    usual, _, dense = str(image(card)["srcset"]).partition(", ")
    assert usual == f"{image(card)['src']} 1x"
    address, density = dense.split()
    wide = width(stored(address))
    assert wide > 400
    assert density == f"{wide / 400:g}x"


def test_the_api_gives_the_same_titles_links_and_renditions(shop: Shop) -> None:
    page = find("mug")
    for result in ask(text="mug"):
        card = page[result["title"]]
        assert result["url"].endswith(link(card))
        assert result["image_url"].endswith(str(image(card)["src"]))


def test_the_results_page_has_the_sites_layout(shop: Shop) -> None:
    page = Client().get("/find/", {"text": "mug"})
    soup = BeautifulSoup(page.content, "html.parser")
    assert soup.select_one(".site-header")
    assert len(soup.select("h1")) == 1
    assert len(soup.select('head link[href$="mmsearch.css"]')) == 1


def test_the_product_page_asks_for_more_like_it(shop: Shop) -> None:
    page = Client().get(shop.pages["Blue mug"].url)
    soup = BeautifulSoup(page.content, "html.parser")
    form = soup.select_one("form.mmsearch-like")
    assert form is not None
    hidden = {str(field["name"]): field["value"] for field in form.select("[type=hidden]")}
    found = cards(Client().get(str(form["action"]), {**hidden, "text": "red"}))
    assert set(found) == ALL - {"Blue mug"}


def test_a_page_that_is_not_saved_yet_has_no_box(shop: Shop) -> None:
    box = "{% load mmsearch %}{% mmsearch_like page %}"
    html = Template(box).render(Context({"page": ProductPage(title="A preview")}))
    assert "mmsearch-like" not in html


def test_filters(shop: Shop) -> None:
    assert set(find("mug", price__lte=10)) == {"Red mug"}
    assert set(find("mug", price__gte=30)) == {"Linen shirt"}


def test_more_results_need_no_more_queries(shop: Shop) -> None:
    find("mug")  # makes the renditions
    with CaptureQueriesContext(connection) as before:
        assert len(find("mug")) == 3
    for number in range(10):
        shop.sell(f"Mug {number}", "green")
    index()
    find("mug")
    with CaptureQueriesContext(connection) as after:
        assert len(find("mug")) == 13
    assert len(after) <= len(before)


# Privacy


def test_a_page_behind_a_login_is_found_by_members_only(shop: Shop) -> None:
    restrict(shop.pages["Mugs"], PageViewRestriction.LOGIN)
    assert set(find("mug")) == {"Linen shirt"}
    assert set(find("mug", client=sign_in())) == ALL
    assert {result["title"] for result in ask(text="mug")} == {"Linen shirt"}


def test_a_page_for_a_group_is_found_by_that_group_only(shop: Shop) -> None:
    restrict(shop.pages["Red mug"], PageViewRestriction.GROUPS).groups.set(
        [Group.objects.create(name="Trade")]
    )
    assert "Red mug" not in find("mug", client=sign_in("Press"))
    assert "Red mug" in find("mug", client=sign_in("Trade", name="dealer"))


def test_a_page_with_a_password_is_found_once_it_was_given(shop: Shop) -> None:
    page = shop.pages["Red mug"]
    restriction = restrict(page, PageViewRestriction.PASSWORD, password="please")
    visitor = Client()
    assert "Red mug" not in find("mug", client=visitor)
    form = visitor.get(page.url).context["form"]
    given = {"password": "please", "return_url": form["return_url"].value()}
    action = f"/_util/authenticate_with_password/{restriction.pk}/{page.pk}/"
    assert visitor.post(action, given).status_code == 302
    assert "Red mug" in find("mug", client=visitor)
    assert "Red mug" not in find("mug")


def test_a_private_page_is_no_reference_and_no_result_in_python(shop: Shop) -> None:
    restrict(shop.pages["Red mug"], PageViewRestriction.LOGIN)
    like = {"like": shop.pages["Red mug"].pk}
    assert Client().post(API, like).status_code in (400, 404)
    assert "Red mug" not in [hit.title for hit in search("mug").hits]
    user = get_user_model().objects.create_user("member")
    assert "Red mug" in [hit.title for hit in search("mug", user=user).hits]


def test_a_filter_offers_no_value_of_a_private_page_alone(shop: Shop) -> None:
    for title, tag in (("Red mug", "prototype"), ("Blue mug", "sale")):
        shop.pages[title].tags.add(tag)
        shop.pages[title].save()
    index()
    restrict(shop.pages["Red mug"], PageViewRestriction.LOGIN)
    assert choices(Client()) == {"sale"}
    assert choices(sign_in()) == {"prototype", "sale"}


def choices(visitor: Client) -> set[str]:
    soup = BeautifulSoup(visitor.get("/find/", {"text": "mug"}).content, "html.parser")
    return {label.text.strip() for label in soup.select(".mmsearch-choice")}


def test_an_image_in_a_private_collection_is_not_shown(shop: Shop) -> None:
    place = Collection.get_first_root_node().add_child(name="Press").add_child(name="Unreleased")
    shop.sell("Green mug", image=photograph("green", side=650, collection=place))
    index()
    assert "Green mug" in find("mug")
    CollectionViewRestriction.objects.create(
        collection=place.get_parent(), restriction_type=CollectionViewRestriction.LOGIN
    )
    assert "Green mug" not in find("mug")
    assert "Green mug" in find("mug", client=sign_in())


# Sites and languages


def test_each_site_finds_its_own_pages(shop: Shop) -> None:
    other = shop.shelve("Outlet", shop.root)
    Site.objects.create(hostname="outlet.example", root_page=other)
    shop.sell("Chipped mug", "red", shelf="Outlet")
    index()
    assert set(find("mug")) == ALL
    there = cards(Client(headers={"host": "outlet.example"}).get("/find/", {"text": "mug"}))
    assert set(there) == {"Chipped mug"}
    assert "outlet.example" in link(there["Chipped mug"])


def test_each_language_finds_its_own_pages(shop: Shop, settings: Any) -> None:
    settings.WAGTAIL_I18N_ENABLED = True
    german = Locale.objects.create(language_code="de")
    for title in ("Mugs", "Red mug"):
        page = shop.pages[title]
        if title == "Mugs":
            shop.home.copy_for_translation(german).get_latest_revision().publish()
        copy = page.copy_for_translation(german)
        copy.title = {"Mugs": "Becher", "Red mug": "Roter Becher"}[title]
        copy.save_revision().publish()
    index()
    assert set(find("becher mug")) == ALL
    visitor = Client(headers={"accept-language": "de"})
    assert set(find("becher mug", client=visitor)) == {"Roter Becher"}


def test_a_source_may_show_every_language(
    shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WAGTAIL_I18N_ENABLED = True
    Locale.objects.create(language_code="de")
    visitor = Client(headers={"accept-language": "de"})
    assert set(find("mug", client=visitor)) == set()
    monkeypatch.setattr(PageImages, "this_locale_only", False)
    assert set(find("mug", client=visitor)) == ALL
