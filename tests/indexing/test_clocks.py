"""A clock that was wrong leaves nothing stuck."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from mmsearch_app.indexing import ledger, watch
from mmsearch_app.indexing.loop import WorkerLoop
from mmsearch_app.indexing.rebuild import rebuild_index, request_rebuild
from mmsearch_app.models import Entry, KnownIndex, Rebuild, State
from tests.shop import Catalogue, Sell, held, work

pytestmark = pytest.mark.django_db

YEAR = timedelta(days=365)


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the clock a year ahead or back, until `undo` is called."""
    real = timezone.now

    def shift(by: timedelta) -> None:
        monkeypatch.setattr(timezone, "now", lambda: real() + by)

    shift.undo = monkeypatch.undo  # type: ignore[attr-defined]
    return shift


@pytest.mark.parametrize("free", ["worker", "reconcile"])
def test_an_entry_that_was_marked_a_year_ahead_is_indexed_when_the_clock_is_right(
    sell: Sell, ahead: Any, free: str
) -> None:
    ahead(YEAR)
    sell()
    ahead.undo()
    assert not ledger.waiting().exists()
    if free == "reconcile":
        call_command("mmsearch_reconcile")
        assert ledger.waiting().exists()
        assert Entry.objects.get().marked_at <= timezone.now()
    assert work().indexed == 1


def test_an_entry_that_a_worker_claimed_a_year_ahead_is_free(sell: Sell, ahead: Any) -> None:
    sell()
    ahead(YEAR)
    assert ledger.claim(1)
    ahead.undo()
    assert work().indexed == 1


def test_everything_works_after_the_clock_went_back_a_year(shop: Catalogue, ahead: Any) -> None:
    shop["red mug"].title = "zebra"
    shop["red mug"].save()
    ahead(-YEAR)
    watch._watch.next = 0
    assert work().indexed == 1
    shop["red mug"].images.get().delete()
    work()
    assert len(held()) == 5
    assert KnownIndex.objects.get().problem == ""


def test_a_legitimate_wait_is_not_cut_short(sell: Sell) -> None:
    sell()
    later = timezone.now() + timedelta(seconds=ledger.LONGEST_WAIT)
    Entry.objects.update(due_at=later)
    assert work().indexed == 0
    assert Entry.objects.get().due_at == later


def test_what_was_given_up_a_year_ahead_gets_its_chance_after_a_day(
    shop: Catalogue, ahead: Any
) -> None:
    from mmsearch_app.indexing.reconcile import reconcile

    Entry.objects.update(
        state=State.FAILED, marked_at=timezone.now() + YEAR, indexed_at=timezone.now() + YEAR
    )
    reconcile()
    for entry in Entry.objects.all():
        assert entry.marked_at <= timezone.now()
        assert entry.indexed_at is not None
        assert entry.indexed_at <= timezone.now()
    ahead(timedelta(days=2))
    assert reconcile().changed == 6


@pytest.mark.parametrize("by", ["command", "worker"])
def test_a_rebuild_that_was_leased_a_year_ahead_is_continued(shop: Catalogue, by: str) -> None:
    request_rebuild()
    Rebuild.objects.update(lease_until=timezone.now() + YEAR)
    if by == "command":
        rebuild_index()
    else:
        loop = WorkerLoop()
        for _ in range(3):
            loop.turn()
    assert not Rebuild.objects.get().open
    assert len(held()) == 6
