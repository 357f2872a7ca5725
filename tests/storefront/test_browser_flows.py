"""The storefront in a real browser with a strict content security policy."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from example_shop.models import Product

from .conftest import draw

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FileChooser, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PICTURE = """async ({ data, type }) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  transfer.items.add(new File([bytes], "mine.png", { type: "image/png" }));
  const box = document.querySelector("[data-mmsearch-box]");
  const event = type === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true })
    : new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
  (type === "paste" ? document.body : box).dispatchEvent(event);
}"""


def expect(locator: Any) -> Any:
    """Playwright's waiting assertions; imported late, since it may not be installed."""
    from playwright.sync_api import expect

    return expect(locator)


def drop(page: Page, how: str, data: bytes) -> None:
    page.evaluate(PICTURE, {"data": b64encode(data).decode(), "type": how})


def first_title(page: Page) -> Any:
    return page.locator(".mmsearch-grid .card-title").first


def test_the_content_security_policy_is_strict_and_enforced(site: Callable[[str], Page]) -> None:
    page = site("/")
    policy = page.evaluate("fetch('/').then((r) => r.headers.get('content-security-policy'))")
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_dropped_image_is_previewed_and_searched(site: Callable[[str], Page], how: str) -> None:
    page = site("/")
    drop(page, how, draw("green"))
    expect(page.locator(".mmsearch-pick canvas")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Picture chosen")
    page.get_by_role("button", name="Search").click()
    expect(first_title(page)).to_contain_text("green")
    expect(page.locator("img.mmsearch-preview")).to_be_visible()
    assert "query=" in page.url


def test_an_image_is_chosen_with_the_keyboard_alone(
    site: Callable[[str], Page], tmp_path: Path
) -> None:
    file = tmp_path / "mine.png"
    file.write_bytes(draw("blue"))
    page = site("/find/")
    page.get_by_label("What are you looking for?").focus()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("input[name=image]")).to_be_focused()
    choosers: list[FileChooser] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    for _ in range(200):  # Chromium ignores a key pressed before the page's first frame
        page.keyboard.press("Space")
        page.wait_for_timeout(500)
        if choosers:
            break
    assert choosers
    choosers[0].set_files(file)
    expect(page.locator(".mmsearch-pick canvas")).to_be_visible()
    page.get_by_label("What are you looking for?").press("Enter")
    expect(first_title(page)).to_contain_text("blue")


def test_a_large_image_is_shrunk_before_it_is_sent(site: Callable[[str], Page]) -> None:
    page = site("/")
    drop(page, "drop", draw("red", side=3000))
    expect(page.locator(".mmsearch-pick canvas")).to_be_visible()
    side = page.evaluate(
        """async () => {
          const [file] = document.querySelector("[name=image]").files;
          const bitmap = await createImageBitmap(file);
          return Math.max(bitmap.width, bitmap.height);
        }"""
    )
    assert side == 1024


def test_a_chosen_image_can_be_removed(site: Callable[[str], Page]) -> None:
    page = site("/")
    drop(page, "drop", draw("green"))
    page.get_by_role("button", name="Remove the picture").click()
    expect(page.locator(".mmsearch-pick canvas")).to_have_count(0)
    assert page.evaluate("document.querySelector('[name=image]').files.length") == 0


def test_words_alone_go_straight_to_a_link(site: Callable[[str], Page], live_server: Any) -> None:
    page = site("/")
    page.get_by_label("What are you looking for?").fill("red mug")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url(f"{live_server.url}/find/?text=red+mug")
    expect(first_title(page)).to_have_text("red mug")


def test_changing_words_on_the_results_page_keeps_the_image(site: Callable[[str], Page]) -> None:
    page = site("/")
    drop(page, "drop", draw("green"))
    page.get_by_role("button", name="Search").click()
    words = page.get_by_label("More like this, but …")
    words.fill("shirt")
    words.press("Enter")
    expect(first_title(page)).to_have_text("green shirt")
    expect(page.locator("img.mmsearch-preview")).to_be_visible()


def test_an_upload_survives_reloading_and_going_back(site: Callable[[str], Page]) -> None:
    page = site("/")
    drop(page, "drop", draw("green"))
    page.get_by_role("button", name="Search").click()
    first_title(page).locator("a").click()
    page.wait_for_url("**/product/**")
    page.go_back()
    expect(first_title(page)).to_contain_text("green")
    page.reload()
    expect(first_title(page)).to_contain_text("green")


def test_a_suggestion_is_one_click(site: Callable[[str], Page], shelf: dict[str, Product]) -> None:
    page = site(shelf["green mug"].get_absolute_url())
    page.get_by_role("link", name="in red").click()
    expect(page.get_by_label("More like this, but …")).to_have_value("in red")
    expect(page.locator(".mmsearch-grid .card")).to_have_count(5)
    expect(page.get_by_role("link", name="in red")).to_have_attribute("aria-current", "true")


def test_filters_open_and_close_with_the_keyboard(site: Callable[[str], Page]) -> None:
    page = site("/find/?text=red")
    summary = page.locator("summary", has_text="Category")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Shirts")).to_be_visible()
    page.get_by_label("Shirts").check()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Shirts")).to_be_hidden()
    expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Apply").first.click()
    expect(first_title(page)).to_have_text("red shirt")
    expect(page.locator(".mmsearch-grid .card")).to_have_count(3)


def test_it_works_without_javascript(
    chromium: Browser, live_server: Any, shelf: dict[str, Product], tmp_path: Path
) -> None:
    file = tmp_path / "mine.png"
    file.write_bytes(draw("blue"))
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(live_server.url)
    page.locator("input[name=image]").set_input_files(file)
    page.get_by_role("button", name="Search").click()
    expect(first_title(page)).to_contain_text("blue")
    page.get_by_label("More like this, but …").fill("shirt")
    page.get_by_role("button", name="Search").click()
    expect(first_title(page)).to_have_text("blue shirt")
    context.close()


def test_the_box_can_be_used_again_after_a_stopped_request(site: Callable[[str], Page]) -> None:
    page = site("/")
    page.route("**/find/**", lambda route: route.fulfill(status=204))  # as when it is stopped
    page.get_by_label("What are you looking for?").fill("red mug")
    page.get_by_role("button", name="Search").click()
    form = page.locator("[data-mmsearch-box]")
    expect(form).to_have_attribute("aria-busy", "true")
    expect(form).not_to_have_attribute("aria-busy", "true")
    page.unroute("**/find/**")
    page.get_by_role("button", name="Search").click()
    expect(first_title(page)).to_have_text("red mug")


PASTE = """([selector, text, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
  if (text) transfer.setData("text/plain", text);
  const target = document.querySelector(selector);
  target.focus();
  const paste = new ClipboardEvent("paste", {
    clipboardData: transfer, bubbles: true, cancelable: true,
  });
  return target.dispatchEvent(paste);
}"""


@pytest.mark.parametrize(
    ("selector", "text", "left_alone"),
    [("[name=text]", "", False), ("[name=text]", "words", True), ("#elsewhere", "", True)],
    ids=["picture", "picture with words", "another form"],
)
def test_a_paste_is_used_only_in_the_search_box(
    site: Callable[[str], Page], selector: str, text: str, left_alone: bool
) -> None:
    page = site("/")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('textarea'), {id: 'elsewhere'}))"
    )
    assert page.evaluate(PASTE, [selector, text, list(draw("green"))]) is left_alone
    expect(page.locator(".mmsearch-pick canvas")).to_have_count(0 if left_alone else 1)
