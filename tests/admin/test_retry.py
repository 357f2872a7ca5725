"""The button and the action "Try again": what they make due, and who may use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from example_shop.models import Product
from mmsearch_app.models import Entry, State
from tests.admin.conftest import LEDGER, address_of, change

from .conftest import entries_of, messages_of


def retry(client: Client, *entries: Entry, everything: bool = False, query: str = "") -> Any:
    data = {
        "action": "try_again",
        "_selected_action": [entry.pk for entry in entries],
        "select_across": "1" if everything else "0",
        "index": "0",
    }
    return client.post(LEDGER + query, data, follow=True)


def test_a_retry_makes_the_selected_entries_due(boss: Client, shop: list[Product]) -> None:
    first, second = (
        change(entry, state=State.FAILED, attempts=8, due_at=None) for entry in entries_of(shop[0])
    )
    response = retry(boss, first)
    assert change(first).state == State.PENDING
    assert change(first).due_at is not None
    assert change(first).attempts == 0
    assert change(second).state == State.FAILED
    assert "1 to be tried again" in messages_of(response)


def test_a_retry_of_all_entries_in_a_state_leaves_other_states_alone(
    boss: Client, shop: list[Product]
) -> None:
    failed = [change(entry, state=State.FAILED) for entry in entries_of(shop[0])]
    retry(boss, failed[0], everything=True, query="?state__exact=failed")
    assert set(Entry.objects.filter(state=State.PENDING)) == set(failed)


def test_a_retry_is_on_the_page_of_the_entry_too(boss: Client, shop: list[Product]) -> None:
    entry = change(entries_of(shop[0])[0], state=State.FAILED)
    assert "Try again" in boss.get(address_of(entry)).content.decode()
    assert boss.get(f"{LEDGER}{entry.pk}/retry/").status_code == 405
    response = boss.post(f"{LEDGER}{entry.pk}/retry/")
    assert response["Location"] == address_of(entry)
    assert change(entry).state == State.PENDING


@pytest.mark.parametrize("key", ["999999", "nonsense"])
def test_a_retry_of_no_entry_is_not_found(boss: Client, db: None, key: str) -> None:
    assert boss.post(f"{LEDGER}{key}/retry/").status_code == 404


def test_users_who_can_only_view_cannot_retry(
    staff: Callable[..., Client], shop: list[Product]
) -> None:
    entry = change(entries_of(shop[0])[0], state=State.FAILED)
    client = staff("mmsearch_app.view_entry")
    assert "Try again" not in client.get(LEDGER).content.decode()
    assert "Try again" not in client.get(address_of(entry)).content.decode()
    retry(client, entry)
    assert client.post(f"{LEDGER}{entry.pk}/retry/").status_code == 403
    assert change(entry).state == State.FAILED


def test_users_who_can_change_entries_can_retry(
    staff: Callable[..., Client], shop: list[Product]
) -> None:
    entry = change(entries_of(shop[0])[0], state=State.FAILED)
    retry(staff("mmsearch_app.change_entry"), entry)
    assert change(entry).state == State.PENDING


def test_a_retry_needs_the_csrf_token(shop: list[Product], admin_user: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(f"{LEDGER}{entries_of(shop[0])[0].pk}/retry/").status_code == 403
