"""The ledger's functions: mark, claim, finish, fail, release."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mmsearch_app.indexing import ledger, marks
from mmsearch_app.indexing.ledger import Outcome
from mmsearch_app.models import Entry, State
from mmsearch_app.sources import key_of
from tests.shop import make_due

pytestmark = pytest.mark.django_db


def mark(*keys: Any, **options: Any) -> None:
    marks.mark_rows("a.source", keys, **options)


def outcome(found: Entry, state: State = State.INDEXED, **columns: Any) -> Outcome:
    return Outcome(entry=found, state=state, **columns)


def test_the_same_key_twice_in_one_mark_is_one_entry() -> None:
    assert marks.mark_rows("a.source", [1, "1", 2]) == 2
    assert Entry.objects.count() == 2


def test_marking_nothing_makes_no_query() -> None:
    with CaptureQueriesContext(connection) as queries:
        mark()
    assert len(queries) == 0


def test_a_mark_resets_the_attempts() -> None:
    mark(1)
    Entry.objects.update(attempts=8, state=State.FAILED, due_at=None)
    mark(1)
    found = Entry.objects.get()
    assert (found.attempts, found.state) == (0, State.PENDING)
    assert found.due_at is not None


def test_a_mark_keeps_the_digest_of_the_content() -> None:
    mark(1)
    Entry.objects.update(content="c", digest="d", generation="g")
    mark(1)
    found = Entry.objects.get()
    assert (found.content, found.digest, found.generation) == ("c", "d", "g")


def test_a_forced_mark_resets_the_digest() -> None:
    mark(1)
    Entry.objects.update(content="c")
    mark(1, force=True)
    assert Entry.objects.get().content == ""


def test_a_claim_takes_at_most_the_limit_and_the_oldest_first() -> None:
    for key in range(5):
        mark(key)
    assert [found.object_pk for found in ledger.claim(3)] == ["0", "1", "2"]


def test_claimed_entries_are_not_claimed_again() -> None:
    mark(1, 2, 3)
    first, second = ledger.claim(2), ledger.claim(2)
    assert {found.object_pk for found in first + second} == {"1", "2", "3"}
    assert ledger.claim(2) == []


def test_entries_that_are_not_due_are_not_claimed() -> None:
    mark(1)
    Entry.objects.update(due_at=timezone.now() + timedelta(seconds=60))
    assert ledger.claim(2) == []


def test_the_lease_of_a_dead_worker_expires(use: Any) -> None:
    use(LEASE_SECONDS=600)
    mark(1)
    assert len(ledger.claim(1)) == 1
    later = timezone.now() + timedelta(seconds=599)
    assert not ledger.waiting(at=later).exists()
    assert ledger.waiting(at=later + timedelta(seconds=2)).exists()


def test_finishing_settles_the_entry() -> None:
    mark(1)
    (claimed,) = ledger.claim(1)
    assert ledger.finish([outcome(claimed, digest="d", generation="g")]) == 1
    found = Entry.objects.get()
    assert (found.state, found.digest, found.generation) == (State.INDEXED, "d", "g")
    assert (found.due_at, found.lease_until, found.attempts) == (None, None, 0)
    assert found.indexed_at is not None


def test_finishing_an_older_version_leaves_the_entry_due_and_unclaimed() -> None:
    mark(1)
    (claimed,) = ledger.claim(1)
    mark(1)
    assert ledger.finish([outcome(claimed, digest="old")]) == 0
    assert Entry.objects.get().digest == ""
    assert len(ledger.claim(1)) == 1


def test_finishing_late_marks_again_an_entry_that_another_worker_finished() -> None:
    mark(1)
    (late,) = ledger.claim(1)
    mark(1)
    Entry.objects.update(lease_until=None)
    (punctual,) = ledger.claim(1)
    assert ledger.finish([outcome(punctual)]) == 1
    assert ledger.finish([outcome(late)]) == 0
    assert Entry.objects.get().state == State.PENDING
    assert len(ledger.claim(1)) == 1


def test_finishing_late_does_not_restore_a_removed_entry() -> None:
    mark(1)
    (late,) = ledger.claim(1)
    mark(1, present=False)
    ledger.finish([outcome(late)])
    found = Entry.objects.get()
    assert not found.present
    assert found.due_at is not None


def test_finishing_an_entry_that_was_deleted_is_harmless() -> None:
    mark(1)
    claimed = ledger.claim(1)
    Entry.objects.all().delete()
    assert ledger.finish([outcome(found) for found in claimed]) == 0


def test_finishing_a_batch_takes_a_constant_number_of_queries_per_entry() -> None:
    mark(*range(20))
    claimed = ledger.claim(20)
    with CaptureQueriesContext(connection) as queries:
        ledger.finish([outcome(found) for found in claimed])
    assert len(queries) <= 20 + 3


def test_the_wait_doubles_with_each_failure(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "uniform", lambda *_: 1)
    use(RETRY_SECONDS=10, MAX_ATTEMPTS=8)
    mark(1)
    waits = []
    for _ in range(4):
        make_due()
        (claimed,) = ledger.claim(1)
        ledger.fail([claimed], "broken")
        waits.append(round((entry_of(1).due_at - timezone.now()).total_seconds()))
    assert waits == [10, 20, 40, 80]


def test_what_failed_together_does_not_come_back_together(use: Any) -> None:
    use(RETRY_SECONDS=100)
    mark(*range(1, 31))
    ledger.fail(ledger.claim(30), "broken")
    due = Entry.objects.exclude(due_at=None).values_list("due_at", flat=True)
    waits = [(when - timezone.now()).total_seconds() for when in due if when is not None]
    assert len(waits) == 30
    assert max(waits) - min(waits) > 10
    assert all(74 < wait <= 125 for wait in waits)


def test_the_wait_is_at_most_about_an_hour(use: Any) -> None:
    use(RETRY_SECONDS=10, MAX_ATTEMPTS=100)
    mark(1)
    Entry.objects.update(attempts=60)
    ledger.fail(ledger.claim(1), "broken")
    wait = entry_of(1).due_at - timezone.now()
    assert timedelta(minutes=44) < wait <= timedelta(minutes=75)


def test_after_the_last_attempt_the_entry_is_no_longer_due(use: Any) -> None:
    use(MAX_ATTEMPTS=2)
    mark(1)
    for _ in range(2):
        make_due()
        ledger.fail(ledger.claim(1), "broken for good")
    found = entry_of(1)
    assert (found.state, found.due_at, found.error) == (State.FAILED, None, "broken for good")
    assert ledger.retry(Entry.objects.all()) == 1
    assert len(ledger.claim(1)) == 1


def test_a_failure_of_an_older_version_does_not_count_for_the_newer() -> None:
    mark(1)
    claimed = ledger.claim(1)
    mark(1)
    ledger.fail(claimed, "broken")
    found = entry_of(1)
    assert (found.attempts, found.error) == (0, "")
    assert len(ledger.claim(1)) == 1


def test_an_outage_does_not_count_as_an_attempt() -> None:
    mark(1)
    ledger.release(ledger.claim(1), error="Milvus is down", wait=0)
    found = entry_of(1)
    assert (found.attempts, found.error, found.state) == (0, "Milvus is down", State.PENDING)
    assert len(ledger.claim(1)) == 1


def test_releasing_late_does_not_change_an_entry_that_was_finished_meanwhile() -> None:
    mark(1)
    (late,) = ledger.claim(1)
    ledger.finish([outcome(late)])
    ledger.release([late], wait=5)
    assert entry_of(1).due_at is None


def test_counts_include_every_state() -> None:
    mark(1, 2)
    assert ledger.counts() == {
        "pending": 2, "indexed": 0, "empty": 0, "rejected": 0, "failed": 0, "removed": 0,
    }  # fmt: skip


def entry_of(key: Any) -> Any:
    return Entry.objects.get(object_pk=key)


def test_keys_of_all_kinds_become_text() -> None:
    key = uuid.uuid4()
    assert [key_of(pk) for pk in (7, "a b", key)] == ["7", "a b", key.hex]
