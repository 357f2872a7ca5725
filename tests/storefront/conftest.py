"""A shop with a few products, indexed in memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from example_shop.models import Category, Product, ProductImage
from mmsearch_app.testing import index_everything

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COLOURS = {"red": (200, 20, 20), "green": (20, 160, 40), "blue": (20, 40, 200)}
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def draw(colour: str = "red", *, side: int = 64, kind: str = "PNG") -> bytes:
    """An encoded image of one colour."""
    buffer = BytesIO()
    Image.new("RGB", (side, side), COLOURS[colour]).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def sell() -> Callable[..., Product]:
    """Create a product with one image in a category."""

    def make(title: str, colour: str = "red", *, shelf: str = "Mugs", price: int = 10) -> Product:
        number = Product.objects.count()
        product = Product.objects.create(
            sku=f"T-{number}", slug=f"t-{number}", title=title, price=price, colour=colour
        )
        category, _ = Category.objects.get_or_create(name=shelf, slug=shelf.lower())
        product.categories.add(category)
        image = ProductImage(product=product)
        image.original.save(f"t-{number}.png", ContentFile(draw(colour, side=64 + number)))
        return product

    return make


@pytest.fixture
def shop(db: None, sell: Callable[..., Product]) -> dict[str, Product]:
    """Mugs and shirts in three colours, priced 10 to 15, by title."""
    products: dict[str, Product] = {}
    for kind in ("mug", "shirt"):
        for colour in COLOURS:
            title = f"{colour} {kind}"
            price = 10 + len(products)
            products[title] = sell(title, colour, shelf=f"{kind.title()}s", price=price)
    index_everything()
    return products


BROWSER_MS = 120_000
"""How long a browser may take for one step; the machine may be busy."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The installed Chromium, headless and without its own network requests."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed")
    # Playwright's event loop runs in the test's thread, where Django would refuse the ORM.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    sync_api.expect.set_options(timeout=BROWSER_MS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=QUIET.split(), timeout=BROWSER_MS
        )
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    context.set_default_timeout(BROWSER_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def shelf(transactional_db: None, sell: Callable[..., Product]) -> dict[str, Product]:
    products: dict[str, Product] = {}
    for kind in ("mug", "shirt"):
        for colour in ("red", "green", "blue"):
            title = f"{colour} {kind}"
            products[title] = sell(title, colour, shelf=f"{kind.title()}s")
    index_everything()
    return products


@pytest.fixture
def site(
    live_server: Any, page: Page, shelf: dict[str, Product]
) -> Iterator[Callable[[str], Page]]:
    """Open a page of the shop; the test fails if the browser logs anything."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def visit(path: str) -> Page:
        page.goto(live_server.url + path)
        return page

    yield visit
    assert complaints == []
