"""The moment between recording an outcome and knowing that it still holds."""

from __future__ import annotations

import pytest

from mmsearch_app.indexing import ledger
from mmsearch_app.models import Entry, State
from tests.indexing.test_ledger import mark, outcome

pytestmark = pytest.mark.django_db


def test_what_is_finished_stays_due_under_its_lease_until_it_is_sure_to_hold() -> None:
    mark(1)
    (claimed,) = ledger.claim(1)

    def look() -> bool:
        found = Entry.objects.get()
        assert (found.state, found.digest) == (State.INDEXED, "d")
        assert found.due_at is not None
        assert ledger.claim(1) == []
        return True

    assert ledger.finish([outcome(claimed, digest="d")], holds=look) == 1
    found = Entry.objects.get()
    assert (found.state, found.due_at, found.lease_until) == (State.INDEXED, None, None)


def test_what_turns_out_not_to_hold_is_marked_once_more() -> None:
    mark(1)
    assert ledger.finish([outcome(found) for found in ledger.claim(1)], holds=lambda: False) == 1
    assert len(ledger.claim(1)) == 1


def test_a_mark_in_that_moment_leaves_the_entry_due_and_free() -> None:
    mark(1, 2)
    claimed = ledger.claim(2)

    def change_one() -> bool:
        mark(1)
        return True

    ledger.finish([outcome(found) for found in claimed], holds=change_one)
    assert [found.object_pk for found in ledger.claim(2)] == ["1"]
