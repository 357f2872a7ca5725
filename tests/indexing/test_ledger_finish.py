"""The time between recording an outcome and confirming that its generation is still live."""

from __future__ import annotations

from typing import Any

import pytest

from mmsearch_app.indexing import ledger
from mmsearch_app.models import Entry, State
from tests.indexing.test_ledger import mark, outcome

pytestmark = pytest.mark.django_db


def test_a_finished_entry_stays_claimed_until_the_live_generation_is_confirmed() -> None:
    mark(1)
    (claimed,) = ledger.claim(1)

    def look() -> bool:
        found = Entry.objects.get()
        assert (found.state, found.digest) == (State.INDEXED, "d")
        assert found.due_at is not None
        assert ledger.claim(1) == []
        return True

    assert ledger.finish([outcome(claimed, digest="d")], still_live=look) == 1
    found = Entry.objects.get()
    assert (found.state, found.due_at, found.lease_until) == (State.INDEXED, None, None)


def test_an_outcome_for_a_replaced_generation_is_marked_again() -> None:
    mark(1)
    assert (
        ledger.finish([outcome(found) for found in ledger.claim(1)], still_live=lambda: False) == 1
    )
    assert len(ledger.claim(1)) == 1


def test_a_mark_before_the_confirmation_leaves_the_entry_due_and_unclaimed() -> None:
    mark(1, 2)
    claimed = ledger.claim(2)

    def change_one() -> bool:
        mark(1)
        return True

    ledger.finish([outcome(found) for found in claimed], still_live=change_one)
    assert [found.object_pk for found in ledger.claim(2)] == ["1"]


def test_a_batch_is_finished_in_as_many_statements_as_one_entry(
    django_assert_max_num_queries: Any, django_assert_num_queries: Any
) -> None:
    mark(*range(41))
    with django_assert_max_num_queries(20) as one:
        ledger.finish([outcome(found) for found in ledger.claim(1)], still_live=lambda: True)
    with django_assert_num_queries(len(one)):
        ledger.finish([outcome(found) for found in ledger.claim(40)], still_live=lambda: True)
    assert set(Entry.objects.values_list("state", "due_at")) == {(State.INDEXED, None)}


def test_of_a_batch_only_what_was_marked_meanwhile_stays_due() -> None:
    mark(1, 2, 3)
    claimed = ledger.claim(3)
    mark(2)
    assert ledger.finish([outcome(found, digest="d") for found in claimed]) == 2
    rows = Entry.objects.order_by("object_pk").values_list("object_pk", "state", "digest")
    assert list(rows) == [
        ("1", State.INDEXED, "d"),
        ("2", State.PENDING, ""),
        ("3", State.INDEXED, "d"),
    ]
