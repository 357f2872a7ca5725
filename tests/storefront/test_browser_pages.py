"""Every page in a real browser: on narrow screens, and accessible."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from example_shop.models import Product

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
AXE = "axe-core@4.11.0"


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> str:
    """The source of the accessibility checker, downloaded once and not in the repository."""
    folder = Path(request.config.cache.mkdir("axe"))
    source = folder / "package" / "axe.min.js"
    if not source.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm, which fetches axe-core, is not installed")
        packed = subprocess.run(
            [npm, "pack", AXE], cwd=folder, capture_output=True, text=True, check=False
        )
        if packed.returncode:
            pytest.skip(f"axe-core cannot be fetched: {packed.stderr.strip()[-200:]}")
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
    return source.read_text()


PAGES = ("/", "/category/mugs/", "product", "/find/", "/find/?text=red+mug", "like")


@pytest.fixture(params=PAGES)
def address(request: pytest.FixtureRequest, shelf: dict[str, Product]) -> str:
    mug = shelf["red mug"]
    named = {"product": mug.get_absolute_url(), "like": f"/find/?like={mug.pk}&text=in+red"}
    return str(named.get(request.param, request.param))


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_never_scrolls_sideways(
    site: Callable[[str], Page], page: Page, address: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    site(address)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(
    site: Callable[[str], Page], page: Page, address: str, axe: str, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    site(address)
    page.evaluate(axe)
    found = page.evaluate("axe.run().then((r) => r.violations)")
    assert found == [], json.dumps([(v["id"], [n["html"] for n in v["nodes"]]) for v in found])
