"""Rebuilds in the admin: permissions, requests and progress."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from example_shop.models import Product
from mmsearch_app.backends import get_index
from mmsearch_app.indexing.rebuild import Rebuilder, rebuild_index
from mmsearch_app.models import Rebuild

from .conftest import messages_of

PAGE = "/admin/mmsearch_app/entry/reindex/"
PROGRESS = f"{PAGE}progress/"


def test_opening_the_page_requests_no_rebuild(boss: Client, shop: list[Product]) -> None:
    page = boss.get(PAGE).content.decode()
    assert "Embed all 6 pictures anew" in page
    assert 'method="post"' in page
    assert not Rebuild.objects.exists()


def test_confirming_requests_a_rebuild_without_doing_the_work(
    boss: Client, idle_shop: list[Product]
) -> None:
    live = get_index().live()
    response = boss.post(PAGE, follow=True)
    assert Rebuild.objects.get().open
    assert get_index().live() == live
    assert "new index is being built" in messages_of(response)
    assert "waiting for a worker" in response.content.decode()


def test_a_double_click_makes_no_second_rebuild(boss: Client, shop: list[Product]) -> None:
    boss.post(PAGE)
    page = boss.post(PAGE, follow=True).content.decode()
    assert '<li class="info">A rebuild is under way already.</li>' in page
    assert Rebuild.objects.count() == 1


def test_the_history_names_the_user(boss: Client, shop: list[Product], admin_user: Any) -> None:
    boss.post(PAGE)
    assert LogEntry.objects.get().user == admin_user


@pytest.mark.parametrize("permission", ["mmsearch_app.view_entry", "example_shop.change_product"])
def test_a_rebuild_needs_permission(
    staff: Callable[..., Client], shop: list[Product], permission: str
) -> None:
    client = staff(permission)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE).status_code == 403
    assert not Rebuild.objects.exists()


def test_the_permission_to_change_entries_is_enough_for_a_rebuild(
    staff: Callable[..., Client], shop: list[Product]
) -> None:
    client = staff("mmsearch_app.change_entry")
    assert "Reindex everything" in client.get("/admin/mmsearch_app/entry/").content.decode()
    client.post(PAGE)
    assert Rebuild.objects.filter(open=True).exists()


def test_users_who_can_only_view_see_the_progress_but_no_button(
    staff: Callable[..., Client], shop: list[Product]
) -> None:
    Rebuild.objects.create()
    client = staff("mmsearch_app.view_entry")
    assert "Reindex everything" not in client.get("/admin/mmsearch_app/entry/").content.decode()
    assert client.get(PROGRESS).json()["open"]


def test_a_rebuild_needs_the_csrf_token(db: None, admin_user: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(PAGE).status_code == 403
    assert not Rebuild.objects.exists()


# Progress


def test_there_is_no_progress_without_a_rebuild(boss: Client, db: None) -> None:
    assert boss.get(PROGRESS).status_code == 404


def test_the_progress_follows_the_work_to_its_end(
    boss: Client, shop: list[Product], settings: Any
) -> None:
    settings.MMSEARCH = {**settings.MMSEARCH, "BATCH_SIZE": 2}  # forgets the index in memory
    boss.post(PAGE)
    assert boss.get(PROGRESS).json() == {
        "open": True,
        "done": 0,
        "total": 0,
        "percent": None,
        "text": "Asked for; waiting for a worker to begin.",
        "warning": "",
    }
    work = Rebuilder(Rebuild.objects.get())
    work.step()
    seen = boss.get(PROGRESS).json()
    assert (seen["done"], seen["total"], seen["percent"]) == (2, 6, 33)
    assert seen["text"] == "2 of 6 pictures are in the new index."
    while not work.step():
        pass
    seen = boss.get(PROGRESS).json()
    assert (seen["open"], seen["percent"]) == (False, 100)


def test_the_last_percent_is_the_switch(boss: Client, db: None) -> None:
    Rebuild.objects.create(generation="g", done=6, total=6)
    seen = boss.get(PROGRESS).json()
    assert seen["percent"] == 99
    assert "switching over" in seen["text"]


def test_an_open_rebuild_is_shown_in_place_of_the_button(boss: Client, shop: list[Product]) -> None:
    Rebuild.objects.create(generation="g", done=2, total=8)
    for address in (PAGE, "/admin/mmsearch_app/entry/"):
        page = boss.get(address).content.decode()
        assert '<progress max="100" value="25">' in page
    assert 'value="Reindex everything"' not in boss.get(PAGE).content.decode()


def test_without_javascript_the_page_reloads_itself(boss: Client, db: None) -> None:
    assert b"http-equiv" not in boss.get(PAGE).content
    Rebuild.objects.create()
    assert b'<noscript><meta http-equiv="refresh" content="5"></noscript>' in boss.get(PAGE).content


def test_a_rebuild_without_a_worker_is_reported(boss: Client, db: None) -> None:
    row = Rebuild.objects.create(generation="g", done=2, total=8)
    assert boss.get(PROGRESS).json()["warning"] == ""
    Rebuild.objects.update(requested_at=timezone.now() - timedelta(minutes=3))
    assert "Nothing has moved for 3\xa0minutes" in boss.get(PROGRESS).json()["warning"]
    assert "mmsearch_worker" in boss.get(PROGRESS).json()["warning"]
    work = Rebuilder(row)
    work._lease()  # what every batch begins with
    assert boss.get(PROGRESS).json()["warning"] == ""


def test_the_reason_that_blocks_a_rebuild_is_shown_escaped(boss: Client, db: None) -> None:
    Rebuild.objects.create(generation="g", error="2 pictures cannot be read: <b>x</b>")
    assert "cannot be read" in boss.get(PROGRESS).json()["warning"]
    page = boss.get(PAGE).content.decode()
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page


def test_finished_rebuilds_are_listed(boss: Client, shop: list[Product]) -> None:
    done = rebuild_index()
    assert done.generation in boss.get(PAGE).content.decode()


@pytest.mark.parametrize(("seconds", "said"), [(1, "1 second"), (42, "42 seconds"), (150, "2")])
def test_the_duration_of_a_rebuild_is_shown_in_seconds_or_minutes(seconds: int, said: str) -> None:
    begun = timezone.now()
    row = Rebuild(requested_at=begun, finished_at=begun + timedelta(seconds=seconds))
    assert row.took.startswith(said)
    assert ("second" in row.took) == (seconds < 60)
