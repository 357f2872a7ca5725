"""The template tags for a shop's own pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.template import Context, RequestContext, Template, TemplateSyntaxError
from django.template.backends.django import DjangoTemplates
from django.test import RequestFactory
from django.utils import translation

import mmsearch_app
from example_shop.models import Product
from mmsearch_app import ImageSource
from mmsearch_app.sources import registry
from mmsearch_app.testing import registered
from tests.shapes.models import CheapPoster, Garment, Poster
from tests.shop import add_picture, picture_file

pytestmark = pytest.mark.django_db
Shop = dict[str, Product]
LOAD = "{% load mmsearch %}"


TEMPLATES = Path(mmsearch_app.__file__).with_name("templates")
APPS_OWN = DjangoTemplates({"NAME": "own", "DIRS": [TEMPLATES], "APP_DIRS": False, "OPTIONS": {}})
"""The app's templates as they are, without those of the example shop."""


def render(source: str, *, request: Any = None, **context: Any) -> str:
    template = Template(LOAD + source)
    if request is None:
        return template.render(Context(context))
    return template.render(RequestContext(request, context))


@pytest.fixture
def request_() -> Any:
    return RequestFactory().get("/")


def test_the_box_takes_an_image_and_words(request_: Any) -> None:
    html = render("{% mmsearch_box %}", request=request_)
    assert 'method="post" enctype="multipart/form-data" action="/find/"' in html
    assert re.search(r'name="csrfmiddlewaretoken" value="\w+"', html)
    assert 'type="file" name="image"' in html
    assert 'type="text" name="text"' in html


def test_the_box_needs_no_context_processor_except_csrf(request_: Any) -> None:
    bare = {"NAME": "bare", "DIRS": [], "APP_DIRS": True, "OPTIONS": {}}
    template = DjangoTemplates(bare).from_string(LOAD + "{% mmsearch_box %}")
    html = template.render({}, request_)
    assert 'type="file" name="image"' in html


def test_the_box_without_a_request_takes_words_and_links_to_the_upload() -> None:
    html = render("{% mmsearch_box %}")
    assert 'method="get" action="/find/"' in html
    assert 'type="file"' not in html
    assert 'href="/find/">Search with a picture</a>' in html


def test_the_hint_of_the_box_can_be_changed_and_is_escaped(request_: Any) -> None:
    html = render("{% mmsearch_box hint=hint %}", request=request_, hint="<b>try</b>")
    assert "&lt;b&gt;try&lt;/b&gt;" in html


def test_more_like_this_is_a_link_that_can_be_shared(shop: Shop) -> None:
    product = shop["red mug"]
    html = render("{% mmsearch_like product %}", product=product)
    assert 'method="get" action="/find/"' in html
    assert f'<input type="hidden" name="like" value="{product.pk}">' in html
    assert f'href="/find/?like={product.pk}&amp;text=in+black"' in html


def test_a_shop_may_show_a_card_of_its_own_hits(shop: Shop) -> None:
    hit = {"product": shop["red mug"], "title": "red mug"}
    with translation.override("de"):
        html = APPS_OWN.get_template("mmsearch/_card.html").render({"hit": hit})
    assert f'href="/find/?like={shop["red mug"].pk}"' in html
    assert "So ähnlich, aber …" in html


def test_more_like_this_makes_one_query(shop: Shop, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        html = render("{% mmsearch_like product %}", product=shop["red mug"])
    assert "cheaper" in html


def test_the_suggestions_can_be_replaced(shop: Shop) -> None:
    html = render("{% mmsearch_like product chips='in green| made of <wood> ' %}", **_one(shop))
    assert "in green" in html
    assert "made of &lt;wood&gt;" in html
    assert "striped</a>" not in html


def test_keys_are_not_localised(settings: Any) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    product = Product.objects.create(pk=1234567, title="lamp", price=3)
    add_picture(product)
    html = render("{% mmsearch_like product %}{{ product|mmsearch_like_url }}", product=product)
    assert 'value="1234567"' in html
    assert html.endswith("/find/?like=1234567")


def test_a_second_model_of_products_is_named_in_the_link() -> None:
    garment = Garment(code="G-7", name="cape")
    html = render("{{ product|mmsearch_like_url }}", product=garment)
    assert html == "/find/?like=shapes.garment%3AG-7"


def test_style_and_script_are_included_once_for_many_tags(shop: Shop, request_: Any) -> None:
    source = "{% mmsearch_box %}{% mmsearch_like product %}{% mmsearch_like product %}"
    for html in (render(source, **_one(shop)), render(source, request=request_, **_one(shop))):
        assert html.count("mmsearch.css") == 1
        assert html.count("mmsearch.js") == 1


def test_the_media_tag_in_the_head_replaces_the_other_includes(shop: Shop) -> None:
    html = render("{% mmsearch_media %}<body>{% mmsearch_like product %}", **_one(shop))
    head, body = html.split("<body>")
    assert "mmsearch.css" in head
    assert "mmsearch.css" not in body


def test_every_page_includes_them_again(shop: Shop) -> None:
    template = Template(LOAD + "{% mmsearch_media %}")
    assert "mmsearch.css" in template.render(Context())
    assert "mmsearch.css" in template.render(Context())


def test_nothing_is_inline_or_from_another_host(shop: Shop, request_: Any) -> None:
    html = render("{% mmsearch_box %}{% mmsearch_like product %}", request=request_, **_one(shop))
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:|data:|https?://", html)
    assert not re.search(r"<script(?![^>]*\ssrc=)", html)


def test_the_style_sheet_affects_nothing_outside_the_app() -> None:
    sheet = finders.find("mmsearch/mmsearch.css")
    assert sheet is not None
    source = Path(sheet).read_text()
    css = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    for block in re.findall(r"([^{}]+)\{", css):
        if not block.strip().startswith("@"):
            for selector in re.split(r",(?![^(]*\))", block):
                assert selector.strip().startswith(".mmsearch"), selector
    assert "url(" not in css
    assert not re.search(r"(margin|padding|border)-(left|right)", css)


def test_a_shop_can_override_the_card_template(client: Any, shop: Shop) -> None:
    html = client.get("/find/", {"text": "red mug"}).text
    assert "£10.00" in html


def _one(shop: Shop) -> dict[str, Product]:
    return {"product": shop["red mug"]}


def test_more_like_nothing_renders_nothing(shop: dict[str, Product]) -> None:
    assert render("{% mmsearch_like missing %}").strip() == ""


def test_more_like_something_that_is_not_a_product_is_an_error(shop: dict[str, Product]) -> None:
    with pytest.raises(TemplateSyntaxError, match=r"needs a product .*Product.* not Category"):
        render("{% mmsearch_like thing %}", thing=shop["red mug"].categories.get())


def test_words_in_the_title_are_not_suggested(shop: dict[str, Product]) -> None:
    html = render("{% mmsearch_like product %}", product=shop["red mug"])
    assert "text=in+red" not in html
    assert "text=in+black" in html


class Cheap(ImageSource):
    image = "picture"


def test_a_product_of_a_proxys_model_is_named_by_the_proxy(request_: Any) -> None:
    posters = registry.get("shapes.poster")
    registry.remove("shapes.poster")
    try:
        with registered(Cheap(CheapPoster)):
            product = Poster.objects.create(name="sea", picture=picture_file())
            html = render("{% mmsearch_like product %}", request=request_, product=product)
        assert f'name="like" value="shapes.cheapposter:{product.pk}"' in html
    finally:
        registry.add(posters)


@pytest.mark.parametrize(
    ("options", "sentences"),
    [("", 1), ("hint=''", 0), ("compact=True", 0), ("compact=True hint='Try a photo.'", 1)],
)
def test_the_hint_of_the_box_can_be_switched_off(
    options: str, sentences: int, request_: Any
) -> None:
    html = render("{% mmsearch_box " + options + " %}", request=request_)
    assert html.count("mmsearch-hint") == sentences
    assert ("mmsearch-compact" in html) == ("compact" in options)


def test_the_suggestions_of_a_page_have_labels_and_words(shop: Shop) -> None:
    html = render("{% mmsearch_like product chips='in Grün = in green|schlicht' %}", **_one(shop))
    assert re.search(r'href="[^"]*text=in\+green"[^>]*>in Grün</a>', html)
    assert re.search(r'href="[^"]*text=schlicht"[^>]*>schlicht</a>', html)


def test_a_suggestion_in_german_asks_the_model_in_english(shop: Shop) -> None:
    with translation.override("de"):
        html = render("{% mmsearch_like product %}", **_one(shop))
    assert re.search(r'href="[^"]*text=in\+black"[^>]*>in Schwarz</a>', html)
