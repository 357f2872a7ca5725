"""One count for the page and the API, by visitor; a cache that fails stops nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory
from django.urls import reverse

from mmsearch_app.searching import seconds_to_wait, throttle
from tests.shop import Catalogue
from tests.shop_kit import in_threads, work_again

Use = Callable[..., None]


def asked(count: int, *, user: Any = None, **headers: str) -> list[bool]:
    """Ask that often; whether each search was allowed."""
    request = RequestFactory().get("/", **headers)  # type: ignore[arg-type]
    return [not seconds_to_wait(request, user=user) for _ in range(count)]


@pytest.fixture(autouse=True)
def _within_one_period(monkeypatch: pytest.MonkeyPatch) -> None:
    now = throttle.time.time()
    monkeypatch.setattr(throttle.time, "time", lambda: now)


def test_a_rate_is_kept(use: Use) -> None:
    use(THROTTLE_RATE="2/min")
    assert asked(4) == [True, True, False, False]
    assert 1 <= seconds_to_wait(RequestFactory().get("/")) <= 60


def test_the_next_period_begins_after_the_announced_wait(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(THROTTLE_RATE="1/hour")
    assert asked(2) == [True, False]
    later = throttle.time.time() + seconds_to_wait(RequestFactory().get("/"))
    monkeypatch.setattr(throttle.time, "time", lambda: later)
    assert asked(2) == [True, False]


def test_no_rate_is_no_limit(use: Use) -> None:
    use(THROTTLE_RATE=None)
    assert all(asked(100))


def test_a_user_is_counted_and_not_the_address(use: Use) -> None:
    use(THROTTLE_RATE="1/hour")
    assert asked(1, user=User(pk=1)) == asked(1, user=User(pk=2)) == [True]
    assert asked(1, user=User(pk=1), REMOTE_ADDR="10.0.0.9") == [False]
    assert asked(1, user=AnonymousUser()) == [True]


@pytest.mark.parametrize(
    ("proxies", "of_framework", "allowed"),
    [(0, None, False), (1, None, False), (2, None, True), (None, 1, False), (None, None, True)],
)
def test_an_address_that_a_client_sends_itself_is_believed_only_as_far_as_the_proxies_go(
    use: Use, settings: Any, proxies: int | None, of_framework: int | None, allowed: bool
) -> None:
    use(THROTTLE_RATE="1/hour", NUM_PROXIES=proxies)
    settings.REST_FRAMEWORK = {"NUM_PROXIES": of_framework}
    asked(1, HTTP_X_FORWARDED_FOR="6.6.6.6, 10.0.0.1", REMOTE_ADDR="127.0.0.1")
    again = asked(1, HTTP_X_FORWARDED_FOR="7.7.7.7, 10.0.0.1", REMOTE_ADDR="127.0.0.1")
    assert again == [allowed]


def test_threads_at_once_are_all_counted(use: Use) -> None:
    use(THROTTLE_RATE="10/hour")
    allowed = in_threads(*[lambda: asked(5)] * 8)
    assert sum(map(sum, allowed)) == 10


def test_a_cache_that_fails_stops_nobody(
    use: Use, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("the cache is down")

    use(THROTTLE_RATE="1/hour")
    monkeypatch.setattr(cache, "add", fail)
    assert asked(3) == [True] * 3
    assert "the cache is down" in caplog.text


def test_a_cache_that_keeps_nothing_stops_nobody(use: Use, settings: Any) -> None:
    use(THROTTLE_RATE="1/hour")
    dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    settings.CACHES = {"default": dummy}
    assert asked(3) == [True] * 3


def test_no_address_is_kept_in_the_cache(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    add = cache.add

    def note(key: str, *rest: Any) -> bool:
        kept.append(key)
        return add(key, *rest)

    monkeypatch.setattr(cache, "add", note)
    asked(1, REMOTE_ADDR="10.11.12.13")
    assert kept
    assert "10.11.12.13" not in kept[0]


@pytest.mark.django_db
def test_the_page_and_the_api_count_together_and_an_empty_page_does_not(
    shop: Catalogue, use: Use, client: Any
) -> None:
    use(THROTTLE_RATE="2/hour")
    work_again()
    page, api = reverse("mmsearch:search"), reverse("mmsearch_api:search")
    assert [client.get(page).status_code for _ in range(3)] == [200] * 3
    assert client.get(page, {"text": "mug"}).status_code == 200
    assert client.post(api, {"text": "mug"}).status_code == 200
    refused = client.get(page, {"text": "mug", "price__lte": "12"})
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    content = refused.content.decode()
    assert "please wait" in content
    assert 'value="mug"' in content
    assert '<input type="hidden" name="price__lte" value="12">' in content
    assert client.post(api, {"text": "mug"}).status_code == 429
    assert client.get(page).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("late", ["", "not-a-token"])
def test_asking_for_a_better_order_is_no_way_round_the_throttle(
    shop: Catalogue, use: Use, client: Any, late: str
) -> None:
    use(THROTTLE_RATE="1/hour")
    work_again()
    page = reverse("mmsearch:search")
    words = {"text": "mug", "rerank": late}
    assert [client.get(page, words).status_code for _ in range(2)] == [200, 429]
    upload = {"image": SimpleUploadedFile("a.png", b"not decoded"), "rerank": late}
    assert client.post(page, upload).status_code == 429
