"""The admin's list of entries and the page of one entry."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from example_shop.models import Product, ProductImage
from mmsearch_app.models import Entry, Rebuild, State
from mmsearch_app.sources.registry import registry
from mmsearch_app.testing import index_everything
from tests.admin.conftest import LEDGER, address_of, change
from tests.shapes.models import Poster

from .conftest import count_queries, entries_of, entry_of

# The list


def test_a_row_shows_image_title_state_and_a_link_to_the_shops_admin(
    boss: Client, shop: list[Product]
) -> None:
    page = boss.get(LEDGER).content.decode()
    image = shop[0].images.all()[0]
    assert f'src="{image.original.url}"' in page
    assert 'loading="lazy"' in page
    assert f'href="/admin/example_shop/productimage/{image.pk}/change/"' in page
    assert "mug number 0" in page
    assert 'class="mmsearch-badge mmsearch-badge--indexed">indexed<' in page


def test_the_number_of_queries_does_not_grow_with_the_list(
    boss: Client, sell: Callable[..., Product]
) -> None:
    sell("one")
    boss.get(LEDGER)
    few = count_queries(lambda: boss.get(LEDGER))
    for number in range(20):
        sell(f"more {number}")
    assert count_queries(lambda: boss.get(LEDGER)) == few
    assert few <= 15


def test_titles_errors_and_file_names_are_escaped(
    boss: Client, sell: Callable[..., Product]
) -> None:
    product = sell("<script>alert(1)</script>")
    image = product.images.get()
    ProductImage.objects.filter(pk=image.pk).update(original='a"><script>alert(2)</script>.png')
    entry = change(entry_of(image), state=State.FAILED, error='<img src=x onerror="alert(3)">')
    for address in (LEDGER, address_of(entry)):
        page = boss.get(address).content.decode()
        assert "&lt;script&gt;alert(1)" in page
        for number in (1, 2):
            assert f"<script>alert({number})" not in page
        assert "<img src=x" not in page


def test_a_long_error_is_shortened_in_the_list_but_not_on_its_page(
    boss: Client, shop: list[Product]
) -> None:
    entry = change(entries_of(shop[0])[0], state=State.FAILED, error="why " * 100 + "END")
    listed = boss.get(LEDGER, {"state__exact": "failed"}).content.decode()
    assert "END</span>" not in listed
    assert "…</span>" in listed
    assert "END" in boss.get(address_of(entry)).content.decode()


def test_a_missing_file_does_not_break_the_page(boss: Client, shop: list[Product]) -> None:
    image = shop[0].images.all()[0]
    image.original.storage.delete(str(image.original))
    for address in (LEDGER, address_of(entry_of(image))):
        assert boss.get(address).status_code == 200


def test_an_entry_whose_row_is_gone_says_so(boss: Client, shop: list[Product]) -> None:
    image = shop[0].images.all()[0]
    entry = entry_of(image)
    ProductImage.objects.filter(pk=image.pk).delete()
    assert "deleted" in boss.get(LEDGER).content.decode()
    assert boss.get(address_of(entry)).status_code == 200


@pytest.mark.parametrize("source", ["old.photo", "example_shop.productimage"])
def test_an_entry_with_an_invalid_source_or_key_does_not_break_the_page(
    boss: Client, db: None, source: str
) -> None:
    entry = Entry.objects.create(source=source, object_pk="no-number", marked_at=timezone.now())
    for address in (LEDGER, address_of(entry)):
        assert "no-number" in boss.get(address).content.decode()


def test_a_failing_storage_affects_only_its_own_row(
    boss: Client, shop: list[Product], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def fail(_: Any) -> str:
        raise ConnectionError("secret-key-123")

    monkeypatch.setattr("django.db.models.fields.files.FieldFile.url", property(fail))
    caplog.set_level(logging.CRITICAL)
    for address in (LEDGER, address_of(entries_of(shop[0])[0])):
        response = boss.get(address)
        assert response.status_code == 200
        assert b"secret-key-123" not in response.content


def test_a_row_that_is_not_public_is_shown(boss: Client, shop: list[Product]) -> None:
    Product.objects.filter(pk=shop[1].pk).update(is_public=False)
    index_everything()
    page = boss.get(LEDGER, {"state__exact": "removed"}).content.decode()
    assert page.count("mug number 1</a>") == 2


def test_a_rejected_image_is_never_sent_to_a_browser(boss: Client, shop: list[Product]) -> None:
    entry = change(entries_of(shop[0])[0], state=State.REJECTED, error="too many pixels")
    listed = boss.get(LEDGER, {"state__exact": "rejected"}).content.decode()
    assert "mmsearch-thumbnail" not in listed
    assert "mmsearch-picture" not in boss.get(address_of(entry)).content.decode()


def test_admin_pages_without_permission_are_not_linked(
    staff: Callable[..., Client], shop: list[Product]
) -> None:
    page = staff("mmsearch_app.view_entry").get(LEDGER).content.decode()
    assert "mug number 0" in page
    assert "/admin/example_shop/" not in page


def test_models_without_an_admin_page_are_not_linked(boss: Client, db: None) -> None:
    Poster.objects.create(name="the sea")
    page = boss.get(LEDGER).content.decode()
    assert "<span>the sea</span>" in page


def test_it_searches_by_key_by_source_and_key_and_by_uuid(
    boss: Client, shop: list[Product]
) -> None:
    poster = Poster.objects.create(name="the sea")
    image = shop[0].images.all()[0]
    for words in (str(image.pk), f"example_shop.productimage:{image.pk}"):
        page = boss.get(LEDGER, {"q": words})
        assert [entry.pk for entry in page.context["cl"].result_list] == [entry_of(image).pk]
    for words in (str(poster.pk), poster.pk.hex, f"shapes.poster:{poster.pk}"):
        page = boss.get(LEDGER, {"q": words})
        assert [e.object_pk for e in page.context["cl"].result_list] == [poster.pk.hex]


def test_it_filters_by_source_state_and_error(boss: Client, shop: list[Product]) -> None:
    Poster.objects.create(name="the sea")
    old = Entry.objects.create(source="old.photo", object_pk="1", marked_at=timezone.now())
    failed = change(entries_of(shop[0])[0], state=State.FAILED, error="no")

    def shown(**query: str) -> set[str]:
        return {entry.key for entry in boss.get(LEDGER, query).context["cl"].result_list}

    assert len(shown(source="shapes.poster")) == 1
    assert shown(source="-") == {old.key}
    assert shown(state__exact="failed") == {failed.key}
    assert shown(error__isempty="0") == {failed.key}


def test_the_summary_counts_every_state(boss: Client, shop: list[Product]) -> None:
    change(entries_of(shop[0])[0], state=State.FAILED)
    counts = boss.get(LEDGER).context["backlog"].counts
    assert counts[State.FAILED] == 1
    assert counts[State.INDEXED] == 5
    assert counts[State.REJECTED] == 0


def test_due_work_is_reported_only_if_no_worker_is_active(
    boss: Client, shop: list[Product]
) -> None:
    def warning() -> str:
        return str(boss.get(LEDGER).context["backlog"].warning)

    now = timezone.now()
    first, second, *_ = Entry.objects.all()
    assert warning() == ""
    change(first, state=State.PENDING, due_at=now)
    assert warning() == ""  # a moment ago
    change(first, due_at=now - timedelta(minutes=5))
    assert "waiting for 5\xa0minutes" in warning()
    change(second, due_at=now, lease_until=now + timedelta(minutes=1))
    assert warning() == ""  # a worker is at work
    change(second, due_at=None, lease_until=None)
    Rebuild.objects.create(lease_until=now + timedelta(minutes=1))
    assert warning() == ""  # on a rebuild


# Read-only


@pytest.mark.parametrize("page", ["add/", "{pk}/change/", "{pk}/delete/"])
def test_entries_cannot_be_edited(boss: Client, shop: list[Product], page: str) -> None:
    entry = entries_of(shop[0])[0]
    address = LEDGER + page.format(pk=entry.pk)
    assert boss.post(address, {"state": "indexed", "post": "yes"}).status_code == 403
    assert change(entry).state == State.INDEXED


@pytest.mark.parametrize("path", ["", "{pk}/change/", "reindex/", "reindex/progress/", "inspect/"])
def test_staff_without_permission_sees_nothing(
    staff: Callable[..., Client], shop: list[Product], path: str
) -> None:
    client = staff("example_shop.view_product")
    assert client.get(LEDGER + path.format(pk=entries_of(shop[0])[0].pk)).status_code == 403


@pytest.mark.parametrize("path", ["", "{pk}/retry/", "reindex/", "reindex/progress/", "inspect/"])
def test_anonymous_visitors_are_sent_to_the_login(
    client: Client, shop: list[Product], path: str
) -> None:
    response = client.get(LEDGER + path.format(pk=entries_of(shop[0])[0].pk))
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]


def test_the_page_of_an_entry_shows_all_facts(boss: Client, shop: list[Product]) -> None:
    entry = entries_of(shop[0])[0]
    page = boss.get(address_of(entry)).content.decode()
    facts = (entry.digest, entry.content, entry.signature, entry.generation, str(entry.wanted))
    for fact in (*facts, "category: Mugs", "price: 10.00", entry.key):
        assert fact
        assert fact in page


def test_every_registered_source_is_offered_as_a_filter(boss: Client, db: None) -> None:
    page = boss.get(LEDGER).content.decode()
    assert all(f"?source={source.name}" in page for source in registry)
