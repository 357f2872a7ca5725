"""Who would wait too long is refused at once, before anything is done for the search."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from mmsearch_app import Query, SearchUnavailable, images, search
from mmsearch_app.searching import Busy
from mmsearch_app.signals import searched
from tests.shop import Catalogue, picture
from tests.shop_kit import work_again

pytestmark = pytest.mark.django_db
module = import_module("mmsearch_app.searching.search")
PAGE, API = "mmsearch:search", "mmsearch_api:search"


@pytest.fixture
def crowded(
    shop: Catalogue, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Catalogue]:
    """One place, which is taken by a search that usually takes 40 seconds."""
    use(MAX_CONCURRENT_SEARCHES=1)
    work_again()
    monkeypatch.setattr(module._places, "_seconds", {"model": 40.0})
    inside, done = threading.Event(), threading.Event()

    def occupy() -> None:
        with module._place(Query(text="mug")):
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=occupy)
    thread.start()
    inside.wait(60)
    yield shop
    done.set()
    thread.join(60)


def test_python_is_told_when_to_try_again(crowded: Catalogue) -> None:
    with pytest.raises(SearchUnavailable, match="Too many searches") as caught:
        search("mug")
    assert 30 <= caught.value.retry_after <= 40
    assert not module._places._waiting


def test_the_page_keeps_words_and_filters(crowded: Catalogue, client: Any) -> None:
    response = client.get(reverse(PAGE), {"text": "red mug", "price__lte": "12"})
    assert response.status_code == 503
    assert 30 <= int(response.headers["Retry-After"]) <= 40
    content = response.content.decode()
    assert 'value="red mug"' in content
    assert '<input type="hidden" name="price__lte" value="12">' in content
    assert "price__lte=12&amp;text=red" in content or "text=red+mug&amp;price__lte=12" in content


def test_the_api_answers_with_a_problem_document(crowded: Catalogue, client: Any) -> None:
    response = client.post(reverse(API), {"text": "mug"})
    assert response.status_code == 503
    assert 30 <= int(response.headers["Retry-After"]) <= 40
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_refused_search_is_signalled_like_any_other(crowded: Catalogue, client: Any) -> None:
    heard: list[Any] = []

    def hear(*, error: Any, **_: Any) -> None:
        heard.append(error)

    with listening(hear):
        client.get(reverse(PAGE), {"text": "mug"})
        client.post(reverse(API), {"text": "mug"})
    assert [type(error) for error in heard] == [Busy, Busy]


@contextmanager
def listening(hear: Callable[..., None]) -> Iterator[None]:
    searched.connect(hear)
    try:
        yield
    finally:
        searched.disconnect(hear)


@pytest.mark.parametrize("name", [PAGE, API])
def test_an_upload_is_refused_before_it_is_decoded(
    crowded: Catalogue, client: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(images, "open_image", lambda *_, **__: pytest.fail("decoded"))
    upload = SimpleUploadedFile("a.png", picture())
    response = client.post(reverse(name), {"image": upload, "text": "in blue"})
    assert response.status_code == 503
    if name == PAGE:
        assert "choose your picture again" in response.content.decode()
        assert 'value="in blue"' in response.content.decode()


def test_words_do_not_wait_for_pictures_that_are_decoded(
    shop: Catalogue, use: Callable[..., None], client: Any
) -> None:
    from mmsearch_app.images.open import _memory

    use(MAX_WAIT_SECONDS=0.05)
    work_again()
    most = 320 << 20
    with _memory.admit("decode", units=most, capacity=most, most_seconds=None):
        assert search("mug").hits
        upload = SimpleUploadedFile("a.png", picture())
        response = client.post(reverse(API), {"image": upload})
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) >= 1
        upload.seek(0)
        assert client.post(reverse(PAGE), {"image": upload}).status_code == 503
    upload.seek(0)
    assert client.post(reverse(API), {"image": upload}).status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("t={:.3f}", 503),
        ("{:.3f}", 503),
        ("t={:.0f}000", 503),
        ("t={:.0f}000000", 503),
        ("", 200),
        ("soon", 200),
        ("t=0", 200),
        ("t=nan", 200),
        ("t=inf", 200),
        ("t=99999999999", 200),
    ],
)
def test_what_a_request_waited_in_front_of_the_shop_counts(
    shop: Catalogue, use: Callable[..., None], client: Any, header: str, status: int
) -> None:
    use(REQUEST_START_HEADER="X-Request-Start")
    work_again()
    start = header.format(time.time() - 20)
    response = client.get(reverse(PAGE), {"text": "mug"}, headers={"X-Request-Start": start})
    assert response.status_code == status


def test_the_header_counts_only_if_the_shop_names_it(shop: Catalogue, client: Any) -> None:
    start = f"t={time.time() - 20}"
    response = client.get(reverse(PAGE), {"text": "mug"}, headers={"X-Request-Start": start})
    assert response.status_code == 200
