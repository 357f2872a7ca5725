"""The late order in a real browser: the cards move, and the change is announced."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.searching.reranking.parts import Moody

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Site = Callable[..., Any]
ASKED = "/find/?text=red+mug"


def expect(locator: Any) -> Any:
    """Playwright's waiting assertions; imported late, since it may not be installed."""
    from playwright.sync_api import expect

    return expect(locator)


def titles(page: Page) -> list[str]:
    return page.locator(".mmsearch-grid .card-title").all_text_contents()


@pytest.fixture
def waiting(moody: type[Moody], site: Site) -> Site:
    """Open the results while the model is still working."""
    moody.gate.clear()

    def visit(path: str = ASKED) -> Page:
        page: Page = site(path)
        expect(status(page)).to_contain_text("Looking for the best matches")
        return page

    return visit


def status(page: Page) -> Any:
    return page.locator("[data-mmsearch-better-status]")


def test_the_cards_move_and_a_live_region_says_so(waiting: Site, moody: type[Moody]) -> None:
    page = waiting()
    before = titles(page)
    assert len(before) == 6
    expect(page.get_by_role("link", name="Show the best matches first")).to_be_hidden()
    page.evaluate(
        """() => {
          window.moves = [];
          const animate = Element.prototype.animate;
          Element.prototype.animate = function (frames, options) {
            window.moves.push(frames[0].transform);
            return animate.call(this, frames, options);
          };
        }"""
    )
    moody.gate.set()
    expect(status(page)).to_contain_text("best matches now come first")
    assert titles(page) == [*reversed(before)]
    assert status(page).get_attribute("role") == "status"
    moves = page.evaluate("window.moves")
    assert len(moves) == 6
    assert all(move.startswith("translate(") for move in moves)
    assert page.locator("[style]").count() == 0


def test_the_reason_is_shown_as_text(waiting: Site, moody: type[Moody]) -> None:
    page = waiting()
    moody.gate.set()
    expect(page.locator(".mmsearch-reason")).to_have_text("It is <b>best</b>.")
    expect(page.locator(".mmsearch-cell").first).to_contain_text("It is <b>best</b>.")


def test_reduced_motion_is_respected(waiting: Site, page: Page, moody: type[Moody]) -> None:
    page.emulate_media(reduced_motion="reduce")
    waiting()
    before = titles(page)
    page.evaluate("() => { Element.prototype.animate = () => { throw new Error('moved'); }; }")
    moody.gate.set()
    expect(status(page)).to_contain_text("best matches now come first")
    assert titles(page) == [*reversed(before)]


@pytest.mark.parametrize("number", [1, 5], ids=["moved", "moved and given a reason"])
def test_the_focus_stays_on_its_card(waiting: Site, moody: type[Moody], number: int) -> None:
    page = waiting()
    page.locator(".mmsearch-cell").nth(number).locator("a").first.focus()
    title = page.evaluate("document.activeElement.textContent")
    moody.gate.set()
    expect(status(page)).to_contain_text("best matches now come first")
    assert page.evaluate("document.activeElement.textContent") == title


def test_a_failure_keeps_the_order_and_shows_the_link_again(
    waiting: Site, moody: type[Moody]
) -> None:
    page = waiting()
    before = titles(page)
    moody.fails = True
    moody.gate.set()
    expect(status(page)).to_contain_text("could not be improved")
    assert titles(page) == before
    moody.fails = False
    page.get_by_role("link", name="Show the best matches first").click()
    expect(page.locator(".mmsearch-reason")).to_be_visible()
    assert titles(page) == [*reversed(before)]


def test_an_unchanged_order_is_announced(waiting: Site, moody: type[Moody]) -> None:
    page = waiting()
    before = titles(page)
    moody.said["order"] = tuple(range(6))
    moody.gate.set()
    expect(status(page)).to_contain_text("best matches already come first")
    assert titles(page) == before


def test_going_back_shows_the_better_order_at_once(site: Site, moody: type[Moody]) -> None:
    page = site(ASKED)
    expect(status(page)).to_contain_text("best matches now come first")
    after = titles(page)
    page.reload()
    expect(page.locator(".mmsearch-reason")).to_be_visible()
    assert titles(page) == after
    assert status(page).count() == 0
    assert len(moody.calls) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ready", [False, True])
def test_the_page_is_accessible(
    waiting: Site, moody: type[Moody], page: Page, axe: str, scheme: Any, ready: bool
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    waiting()
    if ready:
        moody.gate.set()
        expect(status(page)).to_contain_text("best matches now come first")
    page.evaluate(axe)
    found = page.evaluate("axe.run().then((r) => r.violations)")
    assert found == [], json.dumps([(v["id"], [n["html"] for n in v["nodes"]]) for v in found])


def test_it_works_without_javascript(
    chromium: Browser, live_server: Any, moody: type[Moody], shelf: Any
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(live_server.url + ASKED)
    before = titles(page)
    assert moody.calls == []
    page.get_by_role("link", name="Show the best matches first").click()
    expect(page.locator(".mmsearch-reason")).to_be_visible()
    assert titles(page) == [*reversed(before)]
    context.close()


def test_a_busy_shop_is_asked_again_after_retry_after(
    page: Page, live_server: Any, shelf: Any, moody: type[Moody]
) -> None:
    busy = [503, 503]  # the browser logs these responses

    def answer(route: Any) -> None:
        if busy:
            route.fulfill(status=busy.pop(), headers={"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/find/?*rerank=*", answer)
    page.goto(live_server.url + ASKED)
    expect(status(page)).to_contain_text("best matches now come first")
    assert busy == []
