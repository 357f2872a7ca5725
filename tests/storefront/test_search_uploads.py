"""The search page by form, without JavaScript."""

from __future__ import annotations

import re
from html import unescape
from io import BytesIO
from typing import Any

import pytest
from django.test import Client
from PIL import Image

from mmsearch_app.indexing import rebuild

from .asking import SEARCH, Shop, titles, token_of, upload
from .conftest import draw

pytestmark = pytest.mark.django_db


def test_an_uploaded_image_is_a_question(client: Client, shop: Shop) -> None:
    response = client.post(SEARCH, {"image": upload(), "text": ""})
    assert response.status_code == 200
    assert titles(response)[0].startswith("blue")


def test_words_can_be_changed_without_uploading_again(client: Client, shop: Shop) -> None:
    first = client.post(SEARCH, {"image": upload(), "text": "mug"})
    moved = client.post(SEARCH, {"query": token_of(first), "text": "shirt"})
    assert moved.status_code == 303
    second = client.get(moved.headers["Location"])
    assert titles(second)[0] == "blue shirt"
    assert second.context["answer"].query.image is not None


def test_the_uploaded_image_is_shown_without_its_metadata(client: Client, shop: Shop) -> None:
    response = client.post(SEARCH, {"image": upload(), "text": ""})
    (address,) = re.findall(r'class="mmsearch-preview" src="([^"]+)"', response.text)
    shown = client.get(unescape(address))
    assert shown.headers["Content-Type"] == "image/jpeg"
    assert "no-store" in shown.headers["Cache-Control"]
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert shown.content.startswith(b"\xff\xd8\xff")
    assert b"Exif" not in shown.content


def test_an_upload_takes_the_place_of_a_product(client: Client, shop: Shop) -> None:
    response = client.post(SEARCH, {"image": upload(), "like": shop["red mug"].pk})
    assert "like" not in response.context["form"].parameters
    assert titles(response)[0].startswith("blue")


def test_the_next_page_of_an_upload_is_a_link(client: Client, shop: Shop, settings: Any) -> None:
    settings.MMSEARCH = {**settings.MMSEARCH, "LIMIT": 4}
    rebuild.rebuild_index()
    first = client.post(SEARCH, {"image": upload(), "text": ""})
    second = client.get(first.context["next_url"])
    assert len(titles(second)) == 2
    assert not set(titles(first)) & set(titles(second))


def test_a_form_without_an_image_redirects_to_a_link_that_can_be_shared(
    client: Client, shop: Shop
) -> None:
    response = client.post(SEARCH, {"text": " red mug ", "without": "", "price__lte": "12"})
    assert response.status_code == 303
    assert response.headers["Location"] == f"{SEARCH}?text=red+mug&price__lte=12"


def test_an_empty_form_leads_to_the_start_page(client: Client, shop: Shop) -> None:
    response = client.post(SEARCH, {"text": ""}, follow=True)
    assert response.status_code == 200
    assert response.redirect_chain == [(SEARCH, 303)]
    assert 'role="alert"' not in response.text


def test_a_post_without_the_csrf_token_is_refused(shop: Shop) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(SEARCH, {"image": upload()}).status_code == 403


def test_a_post_with_the_pages_csrf_token_is_accepted(shop: Shop) -> None:
    strict = Client(enforce_csrf_checks=True)
    page = strict.get(SEARCH).text
    token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[0]
    response = strict.post(SEARCH, {"image": upload(), "csrfmiddlewaretoken": token})
    assert response.status_code == 200


def test_pages_are_not_stored_in_shared_caches(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "red"})
    assert "private" in response.headers["Cache-Control"]


def test_images_of_any_allowed_kind_can_be_sent(client: Client, shop: Shop) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "AVIF"):
        data = draw("green", kind=kind)
        response = client.post(SEARCH, {"image": upload(data, "x")})
        assert response.status_code == 200, kind
        assert titles(response)[0].startswith("green"), kind


def test_a_large_image_is_shown_small(client: Client, shop: Shop) -> None:
    response = client.post(SEARCH, {"image": upload(draw("red", side=900))})
    (address,) = re.findall(r'class="mmsearch-preview" src="([^"]+)"', response.text)
    with Image.open(BytesIO(client.get(unescape(address)).content)) as shown:
        assert max(shown.size) <= 320
