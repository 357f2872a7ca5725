"""Several workers claim from one ledger: everything, nothing twice, and no deadlock."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from mmsearch_app.indexing import ledger, marks
from mmsearch_app.indexing.ledger import Outcome, change
from mmsearch_app.models import Entry, State
from tests.postgres import ROOT
from tests.shop_kit import in_threads

pytestmark = pytest.mark.django_db(transaction=True)


def mark_many(count: int) -> None:
    marks.mark_rows("a.source", range(count))


def indexed(entries: list[Entry]) -> list[Outcome]:
    return [Outcome(entry=found, state=State.INDEXED) for found in entries]


def claim_and_finish() -> list[int]:
    claimed: list[int] = []
    while batch := ledger.claim(5):
        claimed += [found.pk for found in batch]
        ledger.finish(indexed(batch))
    return claimed


def test_three_threads_claim_everything_and_nothing_twice() -> None:
    mark_many(300)
    claimed = Counter(pk for pks in in_threads(*[claim_and_finish] * 3) for pk in pks)
    assert len(claimed) == 300
    assert set(claimed.values()) == {1}
    assert Entry.objects.filter(state=State.INDEXED).count() == 300


def start_claimer(mode: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.indexing.claimer",
        str(connection.settings_dict["NAME"]),
    ]
    return subprocess.Popen([*command, mode], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_three_processes_claim_everything_and_nothing_twice() -> None:
    mark_many(300)
    workers = [start_claimer("work") for _ in range(3)]
    outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    claimed = Counter(int(line) for output in outputs for line in output.split())
    assert len(claimed) == 300
    assert set(claimed.values()) == {1}


def test_what_a_killed_worker_held_is_free_after_its_lease(use: Any) -> None:
    use(LEASE_SECONDS=1)
    mark_many(8)
    worker = start_claimer("hang")
    assert worker.stdout is not None
    taken = {int(worker.stdout.readline()) for _ in range(5)}
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert {found.pk for found in ledger.claim(8)} == set(
        Entry.objects.exclude(pk__in=taken).values_list("pk", flat=True)
    )
    # The other process took its lease with the default of ten minutes.
    later = timezone.now() + timedelta(seconds=601)
    assert {found.pk for found in ledger.waiting(at=later)} >= taken


@pytest.mark.row_locks
def test_a_worker_passes_by_what_a_transaction_of_the_shop_holds() -> None:
    mark_many(4)
    with transaction.atomic():
        marks.mark_rows("a.source", [0])
        (claimed,) = in_threads(lambda: ledger.claim(4))
    assert [found.object_pk for found in claimed] == ["1", "2", "3"]


VERBS: dict[str, Callable[[list[Entry]], Any]] = {
    "finish": lambda entries: ledger.finish(indexed(entries)),
    "fail": lambda entries: ledger.fail(entries, "broken"),
    "release": lambda entries: ledger.release(entries, wait=1),
    "retry": lambda entries: ledger.retry(Entry.objects.filter(source="a.source")),
    "change": lambda entries: change(Entry.objects.filter(source="a.source"), error=""),
}


@pytest.mark.row_locks
@pytest.mark.parametrize("verb", VERBS)
def test_a_worker_never_deadlocks_with_a_shop_that_saves_in_another_order(verb: str) -> None:
    mark_many(6)
    entries = ledger.claim(6)
    half_way, worker_is_at_it = threading.Event(), threading.Event()

    def keep_shop() -> None:
        with transaction.atomic():
            marks.mark_rows("a.source", [3])
            half_way.set()
            assert worker_is_at_it.wait(120)
            time.sleep(0.3)
            for key in (5, 4, 2, 1, 0):
                marks.mark_rows("a.source", [key])

    def keep_working() -> None:
        assert half_way.wait(120)
        worker_is_at_it.set()
        VERBS[verb](entries)

    in_threads(keep_shop, keep_working)
    assert Entry.objects.filter(due_at__isnull=False).count() == 6
