"""The widget on pages whose own sheet styles every label, input and button, and in a header."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.template import RequestContext, Template
from django.test import RequestFactory

from example_shop.models import Product

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SHEETS = {
    "plain": "",
    "bootstrap": """
        body { margin: 0; font: 400 1rem/1.5 sans-serif; color: #212529; background: #fff }
        h1, h2 { margin: 0 0 .5rem; font-weight: 500; line-height: 1.2 }
        p { margin: 0 0 1rem } ul { padding-left: 2rem; margin: 0 0 1rem }
        a { color: #0d6efd; text-decoration: underline }
        label { display: inline-block; margin-bottom: .5rem }
        input, button { margin: 0; font-family: inherit; font-size: inherit; line-height: inherit }
        img, svg { vertical-align: middle }
        legend { float: left; width: 100%; font-size: 1.5rem; margin-bottom: .5rem }""",
    "bulma": """
        html { font-size: 16px } body { margin: 0; font: 1em/1.5 sans-serif; color: #4a4a4a }
        ul, p, fieldset, legend { margin: 0; padding: 0 } ul { list-style: none }
        button, input { margin: 0 } img { height: auto; max-width: 100% }
        a { color: #485fc7; cursor: pointer; text-decoration: none } a:hover { color: #363636 }
        label { color: #363636; display: block; font-size: 1rem; font-weight: 700 }
        label:not(:last-child) { margin-bottom: .5em }
        input[type="text"] { height: 2.5em; width: 100%; box-shadow: inset 0 1px 2px #0003 }""",
    "foundation": """
        body { margin: 0; font: 400 16px/1.5 sans-serif; color: #0a0a0a; background: #fefefe }
        p { margin-bottom: 1rem; line-height: 1.6; text-rendering: optimizeLegibility }
        ul { margin: 0 0 1rem 1.25rem; list-style-position: outside; line-height: 1.6 }
        label { display: block; margin: 0; font-size: .875rem; line-height: 1.8; color: #0a0a0a }
        [type='text'], [type='file'] { display: block; box-sizing: border-box; width: 100%;
            height: 2.4375rem; margin: 0 0 1rem; padding: .5rem; border: 1px solid #cacaca;
            background: #fefefe; box-shadow: inset 0 1px 2px rgb(10 10 10 / .1);
            font-size: 1rem; line-height: 1.5; appearance: none }
        [type='text']:focus { border: 1px solid #8a8a8a; box-shadow: 0 0 5px #cacaca }
        button { padding: 0; appearance: none; border: 0; line-height: 1; vertical-align: middle }
        fieldset { margin: 1.125rem 0; padding: 1.25rem; border: 1px solid #cacaca }
        img, svg { display: inline-block; max-width: 100%; height: auto }""",
    "loud": """
        label { float: left; width: 50%; margin: 1em 0; text-transform: uppercase }
        button { width: 100%; height: 60px; margin: 12px; text-transform: uppercase;
            letter-spacing: .2em; background: hotpink; border-radius: 0; float: right }
        input { width: 50% !ie; height: 22px; margin: 9px; padding: 20px; border: 3px solid lime }
        form { margin: 3em; padding: 2em; background: yellow } svg { width: 100%; height: 80px }
        li { margin: 1em; list-style: square } ul { columns: 2 } p { font-size: 2rem }""",
}
Show = Callable[..., "Page"]


@pytest.fixture
def show(site: Callable[[str], Page], page: Page, live_server: Any) -> Show:
    """Open a page of a shop with that sheet and this content, which may use the tags."""

    def render(content: str, *, sheet: str = "plain", width: int = 1000, **context: Any) -> Page:
        request = RequestFactory().get("/")
        body = Template("{% load mmsearch %}" + content).render(RequestContext(request, context))
        html = (
            "<!doctype html><html lang=en><meta charset=utf-8>"
            f"<meta name=viewport content='width=device-width'><style>{SHEETS[sheet]}</style>"
            f"<body>{body}"
        )
        page.set_viewport_size({"width": width, "height": 500})
        page.route(
            "**/page-of-the-shop/", lambda route: route.fulfill(body=html, content_type="text/html")
        )
        return site("/page-of-the-shop/")

    return render


def box(page: Page, selector: str) -> dict[str, float]:
    found = page.locator(selector).first.bounding_box()
    assert found is not None, selector
    y, height = found["y"], found["height"]
    return {"y": y, "height": height, "middle": y + height / 2, "end": y + height}


BAR = """<div style="padding: 10px">
<nav style="background: {background}; padding: 8px; color: {ink}">
<a href="/" style="color: inherit">Shop</a>{{% mmsearch_box {options} %}}</nav></div>"""


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("options", ["", "compact=True"])
@pytest.mark.parametrize("width", [360, 1000])
def test_the_parts_of_the_box_are_in_line(show: Show, sheet: str, options: str, width: int) -> None:
    bar = BAR.format(background="#fff", ink="#111", options=options)
    page = show(bar, sheet=sheet, width=width)
    page.wait_for_selector(".mmsearch-ready")
    parts = [box(page, f".mmsearch-{name}") for name in ("pick", "words", "submit")]
    whole = box(page, ".mmsearch-bar")
    middles = [part["middle"] for part in [*parts, whole]]
    assert max(middles) - min(middles) <= 1, middles
    assert whole["height"] <= (52 if options else 80)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("sheet", SHEETS)
def test_a_sheet_of_the_shop_changes_no_size(show: Show, sheet: str) -> None:
    sizes = []
    for name in ("plain", sheet):
        page = show(BAR.format(background="#fff", ink="#111", options=""), sheet=name)
        page.wait_for_selector(".mmsearch-ready")
        sizes.append(
            [round(box(page, f".mmsearch-{part}")["height"]) for part in ("bar", "words", "submit")]
        )
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("width", [360, 1000])
def test_more_like_this_stands_on_one_line_and_apart_from_what_follows(
    show: Show, shelf: dict[str, Product], sheet: str, width: int
) -> None:
    content = "<div style='padding: 10px'>{% mmsearch_like product %}<h2>Reviews</h2></div>"
    page = show(content, sheet=sheet, width=width, product=shelf["red mug"])
    field, button = box(page, ".mmsearch-like .mmsearch-input"), box(page, ".mmsearch-submit")
    assert abs(field["end"] - button["end"]) <= 1
    assert abs(field["height"] - button["height"]) <= 1
    assert box(page, "h2")["y"] - box(page, ".mmsearch-chips")["end"] >= 16
    assert page.evaluate("document.documentElement.scrollWidth") == width


CONTRAST = """(selector) => {
  const shade = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  };
  const element = document.querySelector(selector);
  let ground = element;
  const back = (one) => getComputedStyle(one).backgroundColor;
  while (back(ground) === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
  const two = [getComputedStyle(element).color, back(ground)].map(shade);
  return (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
}"""


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize(("background", "ink"), [("#fff", "#111"), ("#16213a", "#fff")])
def test_every_text_of_the_widget_is_readable_on_light_and_dark_bars(
    show: Show, shelf: dict[str, Product], sheet: str, background: str, ink: str
) -> None:
    bar = BAR.format(background=background, ink=ink, options="hint='Try a photo.'")
    bar = bar.replace("</nav>", "{% mmsearch_like product chips='in green' %}</nav>")
    page = show(bar, sheet=sheet, product=shelf["red mug"])
    page.wait_for_selector(".mmsearch-ready")
    for part in ("hint", "label", "input", "submit", "chip", "like .mmsearch-label"):
        assert page.evaluate(CONTRAST, f".mmsearch-{part}") >= 4.5, part


def test_the_compact_box_takes_a_picture(show: Show, tmp_path: Any) -> None:
    from .conftest import draw

    file = tmp_path / "red.png"
    file.write_bytes(draw())
    page = show(BAR.format(background="#16213a", ink="#fff", options="compact=True"))
    page.wait_for_selector(".mmsearch-ready")
    page.locator(".mmsearch-file").set_input_files(file)
    page.wait_for_selector("canvas.mmsearch-preview")
    assert box(page, ".mmsearch-bar")["height"] <= 52
