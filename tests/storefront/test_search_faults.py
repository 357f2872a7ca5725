"""Invalid questions, each with its status and a message."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from mmsearch_app.indexing import rebuild
from mmsearch_app.searching.query import SearchUnavailable
from mmsearch_app.testing import index_everything, reset

from .asking import SEARCH, Shop, titles, token_of, upload
from .conftest import draw

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "JPEG, PNG, WebP or AVIF"),
        (draw("red", side=200)[:200], "damaged"),
    ],
)
def test_a_bad_image_is_reported_at_its_field(
    client: Client, shop: Shop, data: bytes, sentence: str
) -> None:
    response = client.post(SEARCH, {"image": upload(data, "a.jpg"), "text": "red mug"})
    assert response.status_code == 400
    assert sentence in response.text
    assert re.search(
        r'name="image"[^>]*aria-invalid="true" aria-describedby="mmsearch-fault"', response.text
    )
    assert 'value="red mug"' in response.text


def test_a_bad_image_keeps_the_previous_image(client: Client, shop: Shop) -> None:
    first = client.post(SEARCH, {"image": upload(), "text": "mug"})
    token = token_of(first)
    response = client.post(SEARCH, {"image": upload(b"nonsense"), "query": token})
    assert response.status_code == 400
    assert f'name="query" value="{token}"' in response.text
    assert 'class="mmsearch-preview"' in response.text


def test_an_empty_file_is_reported_at_its_field(client: Client, shop: Shop) -> None:
    empty = SimpleUploadedFile("a.png", b"", content_type="image/png")
    response = client.post(SEARCH, {"image": empty})
    assert response.status_code == 400
    assert "empty" in response.text


def test_an_image_above_the_limit_is_answered_413(
    client: Client, shop: Shop, settings: Any
) -> None:
    response = client.post(SEARCH, {"image": upload(b"x" * (9 * 1024 * 1024))})
    assert response.status_code == 413
    assert "too large" in response.text
    assert 'type="file"' in response.text


def test_a_filter_that_is_not_a_number_is_answered_400(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "red", "price__lte": "cheap"})
    assert response.status_code == 400
    assert 'role="alert"' in response.text
    assert 'value="red"' in response.text


def test_an_unknown_product_is_answered_404(client: Client, shop: Shop) -> None:
    assert client.get(SEARCH, {"like": "999999"}).status_code == 404


def test_too_many_words_are_answered_400_and_kept(client: Client, shop: Shop) -> None:
    response = client.get(SEARCH, {"text": "red " * 200})
    assert response.status_code == 400
    assert re.search(r'name="text"[^>]*aria-invalid="true"', response.text)


@pytest.mark.parametrize("offset", ["-1", "abc", "1e3", "٣", ""])
def test_an_invalid_offset_means_the_first_page(client: Client, shop: Shop, offset: str) -> None:
    assert client.get(SEARCH, {"text": "red", "offset": offset}).status_code == 200


def test_a_null_character_is_answered_400(client: Client, shop: Shop) -> None:
    assert client.get(SEARCH, {"text": "a\0b"}).status_code == 400


def test_an_expired_image_is_answered_410(client: Client, shop: Shop) -> None:
    first = client.post(SEARCH, {"image": upload(), "text": "mug"})
    cache.clear()
    response = client.get(SEARCH, {"query": token_of(first), "text": "mug"})
    assert response.status_code == 410
    assert 'value="mug"' in response.text
    assert 'name="query"' not in response.text


@pytest.mark.parametrize("token", ["forged", "a:b:c"])
def test_a_forged_token_opens_nothing(client: Client, shop: Shop, token: str) -> None:
    assert client.get(SEARCH, {"query": token}).status_code == 410
    assert client.get(reverse("mmsearch:picture", args=[token])).status_code == 404


def test_an_outage_is_answered_503_with_a_link_to_try_again(client: Client, shop: Shop) -> None:
    reset()  # an index in memory forgets everything: nothing is built for this model
    response = client.get(SEARCH, {"text": "red mug"})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == str(SearchUnavailable.retry_after)
    assert f'href="{SEARCH}?text=red+mug"' in response.text


def test_an_outage_keeps_an_uploaded_picture(client: Client, shop: Shop) -> None:
    reset()
    response = client.post(SEARCH, {"image": upload(), "text": "mug"})
    assert response.status_code == 503
    (link,) = re.findall(r'<a href="([^"]+)">Try again', response.text)
    rebuild.rebuild_index()
    again = client.get(unescape(link))
    assert again.status_code == 200
    assert titles(again)[0] == "blue mug"


def test_words_that_cancel_out_are_reported(
    client: Client, use: Callable[..., None], sell: Callable[..., Any]
) -> None:
    use(WITHOUT_WEIGHT=1.0)
    sell("red mug")
    index_everything()
    response = client.get(SEARCH, {"text": "red mug", "without": "red mug"})
    assert response.status_code == 400
    assert "cancel each other out" in response.text
