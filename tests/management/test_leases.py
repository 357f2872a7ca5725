"""What the commands say and do about images that another worker holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from mmsearch_app.conf import get_settings
from mmsearch_app.indexing import ledger, marks
from mmsearch_app.management.commands import _leftover
from mmsearch_app.models import Entry
from tests.shop import IMAGES, Sell, held

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a command slept; each pause lets a minute go by for the leases."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        for entry in ledger.leased():
            until = entry.lease_until - timedelta(minutes=1)  # type: ignore[operator]
            Entry.objects.filter(pk=entry.pk).update(lease_until=until)

    monkeypatch.setattr(_leftover.time, "sleep", sleep)
    return slept


def die_with(count: int) -> None:
    """As a worker that was killed with a batch in its hands."""
    assert len(ledger.claim(count)) == count


def test_a_reindex_after_a_kill_indexes_everything(
    sell: Sell, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    sell(pictures=5)
    die_with(3)
    call_command("mmsearch_reindex")
    assert "5 images indexed" in capsys.readouterr().out
    assert len(held()) == 5
    assert waits == [], "the fill takes no leases"


def test_a_reindex_of_one_source_waits_for_what_a_killed_worker_held(
    sell: Sell, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    sell(pictures=5)
    call_command("mmsearch_reindex")
    marks.mark_rows(IMAGES, [1, 2])
    Entry.objects.update(due_at=timezone.now())
    die_with(3)
    call_command("mmsearch_reindex", IMAGES)
    out = capsys.readouterr().out
    assert "Waiting: 3 images are held by another worker until" in out
    assert "5 indexed" in out
    assert len(waits) == get_settings().LEASE_SECONDS / 60


def test_a_worker_that_never_ends_makes_the_command_fail_with_a_sentence(
    sell: Sell, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(pictures=2)
    call_command("mmsearch_reindex")
    Entry.objects.update(due_at=timezone.now())
    die_with(1)
    now = iter(range(0, 100_000, 100))
    monkeypatch.setattr(_leftover.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(_leftover.time, "sleep", lambda _: None)
    with pytest.raises(CommandError, match="1 images are held by another worker until"):
        call_command("mmsearch_reindex", IMAGES)


@pytest.mark.parametrize("command", [["mmsearch_worker", "--once"], ["mmsearch_reconcile"]])
def test_the_other_commands_say_what_is_held(
    sell: Sell, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    sell(pictures=5)
    die_with(3)
    call_command(*command)
    assert "3 images are held by another worker until" in capsys.readouterr().out
