"""The statement of one mark: compiled once, and the same as Django's for many."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, router, transaction
from django.test.utils import CaptureQueriesContext

from mmsearch_app.indexing import marks
from mmsearch_app.models import Entry, State

ANEW = {"id", "object_pk", "wanted", "due_at", "marked_at"}


def columns(key: str) -> dict[str, Any]:
    """What an entry says, without what differs from mark to mark."""
    row = Entry.objects.values().get(object_pk=key)
    return {name: value for name, value in row.items() if name not in ANEW}


def grow_old(**values: Any) -> None:
    """As if the entries had been indexed and then changed by a worker."""
    old = {"state": State.INDEXED, "due_at": None, "attempts": 3, "content": "c", "digest": "d"}
    Entry.objects.update(present=False, **old | values)


@pytest.mark.django_db
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("present", [False, True])
def test_one_mark_writes_what_a_mark_of_many_writes(*, force: bool, present: bool) -> None:
    for known in (False, True):
        marks.mark_rows("a.source", ["1"], force=force, present=present)
        marks.mark_rows("a.source", ["2", "3"], force=force, present=present)
        assert columns("1") == columns("2"), known
        grow_old()
    assert columns("1")["content"] == "c"
    marks.mark_rows("a.source", ["1"], force=force)
    assert columns("1")["content"] == ("" if force else "c")
    assert columns("1")["digest"] == "d"


@pytest.mark.django_db
def test_each_mark_has_a_token_and_a_time_of_its_own() -> None:
    seen = []
    for _ in range(2):
        marks.mark_rows("a.source", ["1"])
        seen.append(Entry.objects.get())
    assert seen[0].pk == seen[1].pk
    assert seen[0].wanted != seen[1].wanted
    assert seen[0].marked_at < seen[1].marked_at
    assert seen[1].due_at == seen[1].marked_at


@pytest.mark.django_db(transaction=True)
def test_one_mark_is_one_statement_even_outside_of_a_transaction() -> None:
    marks.mark_rows("a.source", ["1"])
    with CaptureQueriesContext(connections[router.db_for_write(Entry)]) as queries:
        marks.mark_rows("a.source", ["1"])
    assert len(queries) == 1


@pytest.mark.django_db(transaction=True)
def test_a_mark_is_undone_with_the_transaction_or_savepoint_that_it_is_in() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        marks.mark_rows("a.source", ["1"])
        raise RuntimeError
    with transaction.atomic():
        with pytest.raises(RuntimeError), transaction.atomic():
            marks.mark_rows("a.source", ["2"])
            raise RuntimeError
        marks.mark_rows("a.source", ["3"])
    assert list(Entry.objects.values_list("object_pk", flat=True)) == ["3"]


@pytest.mark.django_db
def test_a_mark_that_fails_breaks_the_transaction_as_any_statement_of_django_does() -> None:
    none: Any = None  # a mark of a row must say whether the row is wanted
    with pytest.raises(IntegrityError), transaction.atomic():
        try:
            marks.mark_rows("a.source", ["1"], present=none)
        except IntegrityError:
            assert connection.needs_rollback
            raise


@pytest.mark.django_db
def test_where_the_statement_cannot_be_compiled_django_writes_each_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Prefixed(type(Entry._meta.get_field("source"))):  # type: ignore[misc]
        def get_db_prep_save(self, value: Any, connection: Any) -> Any:
            return f"kept-{value}"

    field = Entry._meta.get_field("source")
    monkeypatch.setattr(marks, "_statements", {})
    monkeypatch.setattr(field, "__class__", Prefixed)
    marks.mark_rows("a.source", ["1"])
    assert [*marks._statements.values()] == [None]
    assert Entry.objects.get().source == "kept-a.source"
