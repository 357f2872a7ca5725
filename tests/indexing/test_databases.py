"""What differs between databases: equality of texts, broken-off transactions, isolation."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from mmsearch_app.indexing import ledger, marks, transactions
from mmsearch_app.indexing.rebuild import rebuild_index, request_rebuild
from mmsearch_app.indexing.reconcile import Drift, reconcile
from mmsearch_app.indexing.transactions import in_transaction
from mmsearch_app.models import Entry, Rebuild, State
from tests.indexing.test_concurrent_claims import claim_and_finish, indexed, mark_many
from tests.shapes.models import Garment, Media
from tests.shop import Sell, held, picture_file, work
from tests.shop_kit import in_threads

ALIKE = ["a", "A", "a ", "á", "ä"]


@pytest.mark.django_db
def test_keys_that_differ_in_case_accents_or_trailing_spaces_are_different_entries() -> None:
    assert marks.mark_rows("a.source", ALIKE) == len(ALIKE)
    assert marks.mark_rows("A.source", ALIKE) == len(ALIKE)
    for source in ("a.source", "A.source"):
        found = Entry.objects.filter(source=source).values_list("object_pk", flat=True)
        assert set(found) == set(ALIKE)
    assert Entry.objects.get(source="a.source", object_pk="A").object_pk == "A"


@pytest.mark.django_db
def test_an_entry_whose_key_is_only_similar_to_that_of_a_row_is_gone() -> None:
    photo = Media.objects.create(file=picture_file())
    Garment.objects.create(code="abc", name="red coat", photo=photo)
    work()
    for key in ("ABC", "abc "):
        Entry.objects.create(
            source="shapes.garment", object_pk=key, state=State.INDEXED, marked_at=timezone.now()
        )
    assert reconcile("shapes.garment") == Drift(gone=2)
    work()
    assert held() == ["shapes.garment:abc"]
    assert reconcile("shapes.garment") == Drift()


@pytest.mark.django_db
def test_a_row_whose_key_is_only_similar_to_that_of_an_entry_is_new() -> None:
    photo = Media.objects.create(file=picture_file())
    Garment.objects.create(code="abc", name="red coat", photo=photo)
    work()
    Entry.objects.update(object_pk="ABC")
    assert reconcile("shapes.garment") == Drift(changed=1, gone=1)


@pytest.mark.django_db(transaction=True)
def test_at_most_one_rebuild_is_open_and_any_number_finished(sell: Sell) -> None:
    sell()
    for _ in range(3):
        assert not rebuild_index().open
    assert request_rebuild() == request_rebuild()
    with pytest.raises(IntegrityError):
        Rebuild.objects.create(open=True)
    assert Rebuild.objects.filter(open=True).count() == 1
    assert Rebuild.objects.filter(open=False).count() == 3


@pytest.mark.django_db(transaction=True)
def test_requests_for_a_rebuild_at_the_same_time_get_the_same_one() -> None:
    found = in_threads(*[request_rebuild] * 4)
    assert len({row.pk for row in found}) == 1


@pytest.mark.row_locks
@pytest.mark.django_db(transaction=True)
def test_a_deadlock_between_two_transactions_of_workers_is_repeated() -> None:
    mark_many(2)
    first, second = Entry.objects.order_by("pk")
    both = threading.Barrier(2, timeout=60)
    runs: list[str] = []

    def lock(name: str, *entries: Entry) -> str:
        runs.append(name)
        for number, found in enumerate(entries):
            Entry.objects.filter(pk=found.pk).update(error=name)
            if number == 0 and len(runs) <= 2:
                both.wait()
        return name

    done = in_threads(
        lambda: in_transaction(lambda: lock("a", first, second)),
        lambda: in_transaction(lambda: lock("b", second, first)),
    )
    assert done == ["a", "b"]
    assert len(runs) == 3


def broken_off(times: int) -> Any:
    """Work that the database breaks off so often, in the words of InnoDB."""
    left = [OperationalError(1213, "Deadlock found when trying to get lock")] * times

    def run() -> str:
        if left:
            raise left.pop()
        return "done"

    return run


@pytest.mark.django_db(transaction=True)
def test_a_transaction_is_not_repeated_for_ever() -> None:
    assert in_transaction(broken_off(3)) == "done"
    with pytest.raises(OperationalError, match="Deadlock"):
        in_transaction(broken_off(4))


@pytest.mark.django_db(transaction=True)
def test_a_transaction_of_the_shop_is_left_to_the_shop() -> None:
    with transaction.atomic(), pytest.raises(OperationalError, match="Deadlock"):
        in_transaction(broken_off(1))


@pytest.mark.django_db(transaction=True)
def test_other_errors_of_the_database_are_not_repeated() -> None:
    runs = []

    def run() -> None:
        runs.append(1)
        broken_off_for_good()

    with pytest.raises(OperationalError, match="gone away"):
        in_transaction(run)
    assert len(runs) == 1


@pytest.mark.row_locks
@pytest.mark.django_db(transaction=True)
def test_a_save_does_not_wait_for_a_worker_that_is_frozen_in_a_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not getattr(connection, "mysql_is_mariadb", True):
        pytest.skip("MySQL knows no limit for idle transactions")
    monkeypatch.setattr(transactions, "IDLE_SECONDS", 1)
    mark_many(1)
    entry = Entry.objects.get()
    locked, saved = threading.Event(), threading.Event()

    def freeze() -> None:
        def work() -> None:
            Entry.objects.update(error="of the frozen worker")
            locked.set()
            assert saved.wait(60)
            Entry.objects.update(error="too late")

        with pytest.raises(DatabaseError):
            in_transaction(work)
        assert Entry.objects.get().error == ""  # on a new connection

    def save() -> None:
        assert locked.wait(60)
        marks.mark_rows(entry.source, [entry.object_pk])
        saved.set()

    in_threads(freeze, save)
    assert Entry.objects.get().wanted != entry.wanted


@pytest.mark.row_locks
@pytest.mark.django_db(transaction=True)
def test_a_transaction_of_a_worker_leaves_the_limits_of_its_connection_as_they_were() -> None:
    names = {
        "postgresql": "SHOW idle_in_transaction_session_timeout",
        "mysql": "SELECT @@idle_transaction_timeout",
    }

    def limit() -> Any:
        with connection.cursor() as cursor:
            cursor.execute(names[connection.vendor])
            return cursor.fetchone()

    before = limit()
    assert in_transaction(limit) != before
    assert limit() == before
    with pytest.raises(OperationalError, match="gone away"):
        in_transaction(broken_off_for_good)
    assert limit() == before


def broken_off_for_good() -> None:
    raise OperationalError(2006, "Server has gone away")


def repeatable_read() -> None:
    """Isolate the transactions of this connection from changes that others commit meanwhile."""
    level = "ISOLATION LEVEL REPEATABLE READ"
    session = "CHARACTERISTICS AS TRANSACTION" if connection.vendor == "postgresql" else ""
    transactions = "" if session else "TRANSACTION"
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION {session}{transactions} {level}")


@pytest.mark.row_locks
@pytest.mark.django_db(transaction=True)
def test_workers_claim_everything_and_nothing_twice_under_repeatable_read() -> None:
    mark_many(200)

    def keep_working() -> list[int]:
        repeatable_read()
        return claim_and_finish()

    claimed = Counter(pk for pks in in_threads(*[keep_working] * 3) for pk in pks)
    assert len(claimed) == 200
    assert set(claimed.values()) == {1}
    assert Entry.objects.filter(state=State.INDEXED).count() == 200


@pytest.mark.row_locks
@pytest.mark.django_db(transaction=True)
def test_a_mark_during_the_work_is_not_lost_under_repeatable_read() -> None:
    mark_many(4)
    entries = ledger.claim(4)

    def keep_shop() -> None:
        repeatable_read()
        with transaction.atomic():
            assert Entry.objects.count() == 4  # takes the snapshot
            in_threads(lambda: marks.mark_rows("a.source", [0]))
            marks.mark_rows("a.source", [1])

    def keep_working() -> int:
        repeatable_read()
        return ledger.finish(indexed(entries))

    in_threads(keep_shop)
    assert in_threads(keep_working) == [2]
    due = Entry.objects.filter(due_at__isnull=False).values_list("object_pk", flat=True)
    assert set(due) == {"0", "1"}


@pytest.mark.row_locks
@pytest.mark.django_db(transaction=True)
def test_a_rebuild_is_found_that_was_requested_after_the_snapshot() -> None:
    def ask() -> int:
        repeatable_read()
        with transaction.atomic():
            assert not Rebuild.objects.exists()  # takes the snapshot
            (row,) = in_threads(request_rebuild)
            if connection.vendor == "postgresql":  # it shows no row that is younger
                return int(row.pk)
            assert request_rebuild().pk == row.pk
            return int(row.pk)

    assert in_threads(ask) == [Rebuild.objects.get().pk]
