"""The example shop's own pages, its login and its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.robotparser import RobotFileParser

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client

from example_shop.models import Product
from mmsearch_app.testing import reset

pytestmark = pytest.mark.django_db
Shop = dict[str, Product]


@pytest.mark.parametrize("path", ["/", "/category/mugs/", "/find/", "/admin/login/"])
def test_pages_answer_with_a_strict_policy(client: Client, shop: Shop, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")


def test_robots_are_asked_not_to_search(client: Client) -> None:
    robots = RobotFileParser()
    response = client.get("/robots.txt")
    assert response.headers["Content-Type"] == "text/plain"
    robots.parse(response.text.splitlines())
    assert not robots.can_fetch("Anybot", "/find/?text=red+mug")
    assert not robots.can_fetch("Anybot", "/api/mmsearch/v1/search/")
    assert robots.can_fetch("Anybot", "/product/red-mug/")


def test_a_product_page_shows_price_stock_widget_and_similar_products(
    client: Client, shop: Shop
) -> None:
    page = client.get(shop["red mug"].get_absolute_url()).text
    assert "£10.00" in page
    assert "Out of stock" in page
    assert ">More like this, but …<span" in page  # the links of the cards
    assert "Similar products" in page
    assert '<h3 class="card-title">' in page


def test_prices_are_in_the_visitors_language(client: Client, shop: Shop) -> None:
    address = shop["red mug"].get_absolute_url()
    assert "£10,00" in client.get(address, headers={"accept-language": "de"}).text


def test_a_product_page_stands_without_the_search(client: Client, shop: Shop) -> None:
    reset()  # an index in memory forgets everything
    response = client.get(shop["red mug"].get_absolute_url())
    assert response.status_code == 200
    assert "Similar products" not in response.text


def test_a_product_that_is_not_public_is_shown_nowhere(client: Client, shop: Shop) -> None:
    mug = shop["red mug"]
    Product.objects.filter(pk=mug.pk).update(is_public=False)
    assert client.get(mug.get_absolute_url()).status_code == 404
    assert "red mug" not in client.get("/category/mugs/").text
    assert "red mug" not in client.get("/").text


def test_a_product_without_a_price_is_for_inspiration_only(client: Client, shop: Shop) -> None:
    Product.objects.filter(title="red mug").update(price=None)
    page = client.get(shop["red mug"].get_absolute_url()).text
    assert "For inspiration, not for sale" in page
    assert "Out of stock" not in page


@pytest.mark.parametrize("path", ["/", "/category/mugs/"])
def test_the_number_of_queries_does_not_grow_with_the_products(
    client: Client,
    shop: Shop,
    sell: Callable[..., Product],
    django_assert_max_num_queries: Any,
    path: str,
) -> None:
    with django_assert_max_num_queries(8) as before:
        client.get(path)
    for number in range(5):
        sell(f"mug {number}")
    with django_assert_max_num_queries(len(before)):
        client.get(path)


def test_a_large_category_has_pages(client: Client, sell: Callable[..., Product]) -> None:
    for number in range(25):
        sell(f"mug {number}")
    assert "Page 1 of 2" in client.get("/category/mugs/").text
    second = client.get("/category/mugs/?page=2")
    assert [product.title for product in second.context["page"]] == ["mug 24"]


def test_the_demo_login_is_created_once_in_debug_mode(settings: Any, client: Client) -> None:
    settings.DEBUG = True
    for _ in range(2):
        call_command("demo_login", stdout=StringIO())
    assert get_user_model().objects.count() == 1
    assert client.login(username="demo", password="demo")


def test_the_demo_login_is_refused_in_production(settings: Any) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG"):
        call_command("demo_login")
    assert not get_user_model().objects.exists()


def deploy(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--tag", "security"],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "example_shop.settings", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_production_mode_requires_a_secret_key(tmp_path: Path) -> None:
    done = deploy(SHOP_DATA=str(tmp_path), SHOP_HOSTS="shop.example.com", SHOP_SECRET_KEY="")
    assert done.returncode == 1
    assert "SHOP_SECRET_KEY must be set" in done.stderr


def test_production_mode_is_safe_by_default(tmp_path: Path) -> None:
    secret = "".join(chr(33 + number) for number in range(60))
    done = deploy(SHOP_DATA=str(tmp_path), SHOP_HOSTS="shop.example.com", SHOP_SECRET_KEY=secret)
    assert done.returncode == 0
    assert "W021" in done.stderr  # HSTS preloading is a shop's own decision
    assert done.stderr.count("(security.") <= 2
