"""The progress of a rebuild in a real browser with a strict content security policy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from example_shop.models import Product
from mmsearch_app.indexing.rebuild import Rebuilder
from mmsearch_app.models import Rebuild

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


BROWSER_MS = 120_000
"""How long the browser may take for one step; the machine may be busy."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # Playwright's event loop runs in the test's thread, where Django would refuse the ORM.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=BROWSER_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=QUIET.split(), timeout=BROWSER_MS
        )
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(chromium: Browser, live_server: Any, admin_client: Client) -> Iterator[Page]:
    """A superuser's browser; the test fails if it logs anything."""
    complaints: list[str] = []
    context = chromium.new_context(base_url=live_server.url)
    cookie = admin_client.cookies[django_settings.SESSION_COOKIE_NAME].value
    context.add_cookies(
        [{"name": django_settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}]
    )
    context.set_default_timeout(BROWSER_MS)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(f"{message.text} {message.location}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    # Django's admin has no icon, which every browser asks for once.
    assert [complaint for complaint in complaints if "/favicon.ico" not in complaint] == []


def test_the_progress_updates_by_itself_until_the_rebuild_ends(
    page: Page, shop: list[Product], settings: Any
) -> None:
    settings.MMSEARCH = {**settings.MMSEARCH, "BATCH_SIZE": 2}  # forgets the index in memory
    page.goto("/admin/mmsearch_app/entry/reindex/")
    page.get_by_role("button", name="Reindex everything").click()
    status = (
        page.get_by_role("status")
        .filter(has_text="picture")
        .or_(page.get_by_text("waiting for a worker to begin"))
    )
    expect(status).to_be_visible()
    work = Rebuilder(Rebuild.objects.get())
    work.step()
    expect(page.locator("progress")).to_have_attribute("value", "33")
    expect(page.get_by_text("2 of 6 pictures are in the new index.")).to_be_visible()
    while not work.step():
        pass
    expect(page.get_by_role("heading", name="Earlier rebuilds")).to_be_visible()
    expect(page.get_by_role("button", name="Reindex everything")).to_be_visible()


def test_badges_are_coloured_by_the_style_sheet(page: Page, shop: list[Product]) -> None:
    page.goto("/admin/mmsearch_app/entry/")
    badge = page.locator("tbody .mmsearch-badge--indexed").first
    assert badge.evaluate("node => getComputedStyle(node).borderRadius") == "999px"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
