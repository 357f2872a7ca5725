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
"""How long the database waits for the next statement of a transaction."""
_POSTGRESQL_LIMIT = "SET LOCAL idle_in_transaction_session_timeout = '{}s'"
_MARIADB_LIMIT = "SET SESSION idle_transaction_timeout = {}"


def in_transaction(work: Callable[[], _T]) -> _T:
    """Run `work` in a transaction, again if the database broke it off in favour of another one.

    If this process is frozen meanwhile (a paused machine), PostgreSQL and MariaDB close its
    connection after `IDLE_SECONDS`, so that saves of the shop do not wait for its locks.
    Inside of a transaction of the shop it runs once: only the shop can repeat that one.
    """
    using = router.db_for_write(Entry)
    if connections[using].in_atomic_block:
        return work()

    def once() -> _T:
        with _idle_limit(connections[using]), transaction.atomic(using=using):
            if connections[using].vendor == "postgresql":
                # Ends with the transaction, also behind a pool of connections.
                _execute(connections[using], _POSTGRESQL_LIMIT.format(IDLE_SECONDS))
            return work()

    return repeat_after_conflict(once)


@contextmanager
def _idle_limit(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Set the limit of MariaDB, which is one of the connection, during the block."""
    if not getattr(connection, "mysql_is_mariadb", False):
        yield
        return
    _execute(connection, _MARIADB_LIMIT.format(IDLE_SECONDS))
    try:
        yield
    finally:
        if connection.connection is not None:
            with suppress(Error):  # of a connection that is lost
                _execute(connection, _MARIADB_LIMIT.format("DEFAULT"))


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
