"""While one batch is embedded, the next is read and the last written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection, reset_queries, transaction
from django.utils import timezone

from example_shop.models import ProductImage
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexing import files, ledger, worker
from mmsearch_app.indexing.batch import EmbedderDown
from mmsearch_app.indexing.lanes import Lane, seconds_of
from mmsearch_app.indexing.leases import Leases
from mmsearch_app.indexing.overlap import _WITH_IMAGES
from mmsearch_app.indexing.rebuild import rebuild_index
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, State
from tests.shop import EmbedderWithMoods, Sell, add_picture, held, make_due
from tests.waiting import until

Embed = Callable[..., EmbedderWithMoods]

pytestmark = pytest.mark.django_db(transaction=True)


class Storage(FileSystemStorage):
    """Counts the files it opens, and does not return while `hangs` is not set."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.opened = 0
        self.answers = threading.Event()
        self.answers.set()
        self.hanging = ""

    def open(self, name: str, mode: str = "rb") -> Any:
        self.opened += 1
        if not self.hanging or name == self.hanging:
            assert self.answers.wait(300)
        return super().open(name, mode)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Storage]:
    """The storage of the example shop's images."""
    made = Storage(location=settings.MEDIA_ROOT)
    monkeypatch.setattr(ProductImage._meta.get_field("original"), "storage", made)
    yield made
    made.answers.set()


@pytest.fixture
def embed(use: Any) -> Embed:
    """Change settings, and return the embedder in use."""

    def change(**settings: Any) -> EmbedderWithMoods:
        use(EMBEDDER={"BACKEND": "tests.shop.EmbedderWithMoods"}, **settings)
        found = get_embedder()
        assert isinstance(found, EmbedderWithMoods)
        return found

    return change


def leased() -> int:
    return Entry.objects.filter(lease_until__isnull=False).count()


def test_the_next_batch_is_read_while_the_model_runs(
    sell: Sell, storage: Storage, embed: Embed
) -> None:
    embedder = embed(BATCH_SIZE=2)
    sell(pictures=4)
    embedder.before = lambda: until(lambda: storage.opened == 4)
    assert drain().indexed == 4


def test_the_last_batch_is_written_while_the_model_runs(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, embed: Embed
) -> None:
    embedder = embed(BATCH_SIZE=1)
    sell(pictures=2)
    index = get_index()
    calls: list[int] = []
    begun, written, write = threading.Event(), threading.Event(), index.upsert

    def embed_second_after_write() -> None:
        calls.append(1)
        if len(calls) == 2:
            begun.set()
            assert written.wait(300)

    def upsert(*args: Any, **options: Any) -> None:
        assert begun.wait(300)
        write(*args, **options)
        written.set()

    embedder.before = embed_second_after_write
    monkeypatch.setattr(index, "upsert", upsert)
    assert drain().indexed == 2


def test_no_more_than_two_batches_hold_images(sell: Sell, storage: Storage, embed: Embed) -> None:
    embedder = embed(BATCH_SIZE=2)
    sell(pictures=12)
    ahead: list[int] = []
    embedder.before = lambda: ahead.append(storage.opened - embedder.documents)
    assert drain().indexed == 12
    assert max(ahead) <= 2 * _WITH_IMAGES


def test_a_batch_that_is_written_holds_no_images(
    sell: Sell, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(pictures=2)
    seen: list[Any] = []
    write = worker.write_each

    def look(batch: Any, *args: Any, **options: Any) -> Any:
        seen.extend(document.content.image for document in batch)
        return write(batch, *args, **options)

    monkeypatch.setattr(worker, "write_each", look)
    assert drain().indexed == 2
    assert seen == [None, None]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_drain_gives_all_claimed_entries_back(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, use: Any, error: type[BaseException]
) -> None:
    use(BATCH_SIZE=1)
    sell(pictures=6)

    def interrupt(_: int) -> None:
        assert leased() >= 1
        raise error

    with pytest.raises(error):
        drain(progress=interrupt)
    assert leased() == 0
    make_due()
    assert drain().indexed == 5
    assert len(held()) == 6


def test_an_error_of_one_batch_gives_back_the_others(
    sell: Sell, monkeypatch: pytest.MonkeyPatch, use: Any
) -> None:
    use(BATCH_SIZE=1)
    sell(pictures=6)

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "finish", fail)
        with pytest.raises(ZeroDivisionError):
            drain()
    assert leased() == 0
    make_due()
    assert drain().indexed == 6


def test_an_error_of_the_index_ends_the_drain_and_gives_everything_back(
    sell: Sell, use: Any
) -> None:
    use(BATCH_SIZE=1, INDEX={"BACKEND": "tests.shop.FickleIndex"})
    sell(pictures=6)
    index: Any = get_index()
    index.down = True
    assert drain().problem
    assert leased() == 0
    index.down = False
    make_due()
    assert drain().indexed == 6


def test_a_lease_is_renewed_while_the_model_runs(sell: Sell, embed: Embed) -> None:
    embedder = embed(LEASE_SECONDS=1)
    sell()
    seen: list[Any] = []

    def wait_for_renewals() -> None:
        def look() -> bool:
            until_ = Entry.objects.get().lease_until
            if until_ not in seen:
                seen.append(until_)
            return len(seen) > 3

        until(look)
        assert ledger.claim(1) == []

    embedder.before = wait_for_renewals
    assert drain().indexed == 1


def test_a_lease_that_another_worker_has_taken_is_not_renewed(sell: Sell) -> None:
    sell(pictures=2)
    claimed = ledger.claim(2)
    other = timezone.now() + timedelta(seconds=5)
    Entry.objects.filter(pk=claimed[0].pk).update(lease=uuid4(), lease_until=other)
    before = claimed[1].lease_until
    ledger.renew(claimed)
    assert Entry.objects.get(pk=claimed[0].pk).lease_until == other
    renewed = Entry.objects.get(pk=claimed[1].pk).lease_until
    assert before is not None
    assert renewed is not None
    assert renewed > before
    assert claimed[1].lease_until == renewed


def test_a_model_that_hangs_is_given_up(sell: Sell, embed: Embed) -> None:
    embedder = embed(MODEL_SECONDS=0.2, BATCH_SIZE=1)
    sell(pictures=3)
    answers = threading.Event()
    embedder.before = lambda: answers.wait(300)
    try:
        assert "has not answered for 0.2 seconds" in drain().problem
        assert leased() == 0
        make_due()
        assert "has not answered" in drain().problem
        assert set(Entry.objects.values_list("attempts", "state")) == {(0, State.PENDING)}
    finally:
        answers.set()
    until(lambda: seconds_of(Lane.MODEL) == 0)
    make_due()
    assert drain().indexed == 3


def test_a_slow_model_is_not_given_up_between_its_calls(sell: Sell, embed: Embed) -> None:
    embedder = embed(MODEL_SECONDS=1.0)
    product = sell(pictures=4)
    add_picture(product, "black")
    embedder.before = lambda: threading.Event().wait(0.3)
    drained = drain()
    assert (drained.indexed, drained.failed, drained.problem) == (4, 1, "")


def test_a_file_that_the_storage_does_not_deliver_fails_alone(
    sell: Sell, storage: Storage, use: Any
) -> None:
    use(STORAGE_SECONDS=0.3)
    product = sell(pictures=6)
    storage.hanging = str(product.images.all()[0].original)
    storage.answers.clear()
    drained = drain()
    assert (drained.indexed, drained.failed) == (5, 1)
    assert "no answer within 0.3 seconds" in Entry.objects.get(attempts=1).error


def test_a_storage_that_ends_its_thread_does_not_hang_the_worker(
    sell: Sell, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_: Any) -> None:
        raise SystemExit

    sell()
    monkeypatch.setattr(storage, "open", leave)
    assert "the storage raised SystemExit()" in drain().problem


def test_a_storage_that_hangs_is_an_outage(sell: Sell, storage: Storage, use: Any) -> None:
    use(STORAGE_SECONDS=0.2)
    sell(pictures=9)
    storage.answers.clear()
    assert "The storage does not answer" in drain().problem
    assert set(Entry.objects.values_list("attempts", "lease_until")) == {(0, None)}
    assert storage.opened <= files._READERS
    storage.answers.set()
    make_due()
    assert drain().indexed == 9


def test_a_storage_that_hangs_again_and_again_takes_no_further_threads(
    sell: Sell, storage: Storage, use: Any
) -> None:
    use(STORAGE_SECONDS=0.1)
    sell(pictures=9)
    storage.answers.clear()
    for _ in range(7):
        make_due()
        assert "The storage does not answer" in drain().problem
    reading = [t for t in threading.enumerate() if t.name == "mmsearch-storage"]
    assert len(reading) <= files._MOST_HANGING + files._READERS
    storage.answers.set()
    until(lambda: not any(thread.is_alive() for thread in reading))
    make_due()
    assert drain().indexed == 9


def test_after_a_stop_the_batch_in_the_model_is_finished_and_the_others_given_back(
    sell: Sell, storage: Storage, embed: Embed
) -> None:
    embedder = embed(BATCH_SIZE=1)
    sell(pictures=4)
    stopped = threading.Event()

    def stop() -> None:
        until(lambda: storage.opened == 2)
        stopped.set()

    embedder.before = stop
    assert drain(stopped=stopped.is_set).indexed == 1
    assert leased() == 0
    embedder.before = None
    make_due()
    assert drain().indexed == 3


def test_in_a_transaction_all_is_done_in_the_calling_thread(sell: Sell, embed: Embed) -> None:
    embedder, threads = embed(), set()
    embedder.before = lambda: threads.add(threading.current_thread())
    with transaction.atomic():
        sell(pictures=2)
        assert drain().indexed == 2
    assert threads == {threading.current_thread()}


def test_a_rebuild_reads_the_next_batch_while_the_model_runs(
    sell: Sell, storage: Storage, embed: Embed
) -> None:
    embedder = embed(BATCH_SIZE=2)
    sell(pictures=4)
    embedder.before = lambda: until(lambda: storage.opened == 4)
    rebuild_index()
    assert len(held()) == 4
    assert embedder.documents == 4


def test_a_rebuild_gives_up_a_model_that_hangs(sell: Sell, embed: Embed) -> None:
    embedder, answers = embed(MODEL_SECONDS=0.2, BATCH_SIZE=1), threading.Event()
    sell(pictures=3)
    embedder.before = lambda: answers.wait(300)
    try:
        with pytest.raises(EmbedderDown, match="has not answered"):
            rebuild_index()
    finally:
        answers.set()
    until(lambda: seconds_of(Lane.MODEL) == 0)
    rebuild_index()
    assert len(held()) == 3


@pytest.mark.parametrize("work", [drain, rebuild_index])
def test_statements_are_not_collected_under_debug(
    sell: Sell, use: Any, settings: Any, work: Callable[[], object]
) -> None:
    use(BATCH_SIZE=1)
    sell(pictures=30)
    settings.DEBUG = True
    try:
        work()
        assert len(connection.queries) < 60  # of some 300
    finally:
        reset_queries()
    assert len(held()) == 30


def test_a_drain_that_claims_an_entry_again_after_its_lease_ran_out_goes_on(sell: Sell) -> None:
    sell()
    leases = Leases()
    first = ledger.claim(1)
    leases.add(first)
    Entry.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    second = ledger.claim(1)
    leases.add(second)
    leases.remove(first)
    assert leases.give_back() == 1
    leases.remove(second)
