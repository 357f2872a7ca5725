"""Transactions of workers: repeated after a conflict, and not left open by a frozen process."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import TypeVar

from django.db import Error, OperationalError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from mmsearch_app.models import Entry

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_TRIES = 4
_CONFLICTS = frozenset([1020, 1205, 1213, "40001", "40P01"])
"""Error codes of MySQL and MariaDB, and SQL states of PostgreSQL."""
IDLE_SECONDS = 10
"""How long a save of the shop may wait for the locks of a worker that is frozen."""


def in_transaction(work: Callable[[], _T]) -> _T:
    """Run `work` in a transaction, again if the database broke it off in favour of another one.

    If this process is frozen meanwhile, the database closes its connection (`closed_if_idle`).
    Inside of a transaction of the shop it runs once: only the shop can repeat that one.
    """
    using = router.db_for_write(Entry)
    if connections[using].in_atomic_block:
        return work()

    def once() -> _T:
        with closed_if_idle(using, seconds=IDLE_SECONDS):
            return work()

    return repeat_after_conflict(once)


@contextmanager
def closed_if_idle(using: str, *, seconds: int) -> Iterator[None]:
    """Run the block in a transaction whose connection the database closes if it waits too long.

    So a process that is frozen in the block (a paused machine) does not keep others waiting for
    its locks. For PostgreSQL and MariaDB; other databases know no such limit.
    """
    connection = connections[using]
    with _limit_of_mariadb(connection, seconds), transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            # Ends with the transaction, also behind a pool of connections.
            _execute(connection, f"SET LOCAL idle_in_transaction_session_timeout = '{seconds}s'")
        yield


@contextmanager
def _limit_of_mariadb(connection: BaseDatabaseWrapper, seconds: int) -> Iterator[None]:
    """Set MariaDB's limit, which is one of the connection, during the block."""
    if not getattr(connection, "mysql_is_mariadb", False):
        yield
        return
    _execute(connection, f"SET SESSION idle_transaction_timeout = {seconds}")
    try:
        yield
    finally:
        if connection.connection is not None:
            with suppress(Error):  # of a connection that is lost
                _execute(connection, "SET SESSION idle_transaction_timeout = DEFAULT")


def _execute(connection: BaseDatabaseWrapper, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def repeat_after_conflict(work: Callable[[], _T]) -> _T:
    """Run `work`, again if the database broke it off in favour of another transaction.

    For a single statement, which needs no transaction of its own. Not inside of one.
    """
    for attempt in count(1):
        try:
            return work()
        except OperationalError as error:
            if attempt == _TRIES or not _is_conflict(error):
                raise
            log.info("A transaction is repeated: %s", error)
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - a pause, no secret
    raise AssertionError


def _is_conflict(error: OperationalError) -> bool:
    """Return whether it is a deadlock, a lock that never came free, or a failed serialization."""
    cause = error.__cause__
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return bool(_CONFLICTS.intersection([code, *error.args[:1]]))
