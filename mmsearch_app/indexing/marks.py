"""Mark rows as changed: one statement in the caller's transaction, or many held back at once."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections, router, transaction
from django.db.models.constants import OnConflict
from django.db.models.expressions import RawSQL
from django.db.models.sql import InsertQuery
from django.utils import timezone

from mmsearch_app.indexing import notify
from mmsearch_app.indexing.ledger import conflict_columns, in_chunks
from mmsearch_app.indexing.transactions import in_transaction, repeat_after_conflict
from mmsearch_app.inference import renew_after_fork
from mmsearch_app.models import Entry
from mmsearch_app.sources import key_of

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

log = logging.getLogger(__name__)

_KEY = ["source", "object_pk"]
_MARKED = ["present", "wanted", "state", "due_at", "attempts", "marked_at"]


def mark_rows(source: str, pks: Iterable[Any], *, present: bool = True, force: bool = False) -> int:
    """Mark rows of a source as changed or, with `present=False`, as apparently gone.

    In either case the worker looks at the row and decides. Returns how many rows were given.
    One statement writes up to 500 rows (fewer on SQLite). With `force` the images are embedded
    again even if their content is unchanged.
    """
    entries = {(source, key_of(pk)) for pk in pks}
    pause = _pause.get()
    if force or pause is None or not pause.take(entries):
        _write(entries, present=present, force=force)
    return len(entries)


def _write(
    entries: Collection[tuple[str, str]], *, present: bool = True, force: bool = False
) -> None:
    connection = connections[router.db_for_write(Entry)]
    statement = _statement(connection, force=force) if len(entries) == 1 else None
    if statement is None:
        _write_many(entries, present=present, force=force)
        return
    for source, key in entries:
        statement.mark(connection, source, key, present=present)


def _write_many(entries: Iterable[tuple[str, str]], *, present: bool, force: bool) -> None:
    now = timezone.now()
    rows = [
        Entry(source=source, object_pk=key, present=present, due_at=now, marked_at=now)
        for source, key in sorted(entries)  # one order for all writers, or two may deadlock
    ]
    for chunk in in_chunks(rows):
        in_transaction(partial(_upsert, chunk, force=force))


def _upsert(rows: list[Entry], *, force: bool) -> None:
    Entry.objects.bulk_create(rows, update_conflicts=True, **_conflict(force=force))


def _conflict(*, force: bool) -> dict[str, Any]:
    return conflict_columns([*_MARKED, "content"] if force else _MARKED, unique=_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    """The upsert of one entry, as Django's compiler writes it for one database.

    Compiling it costs several times what executing it does, and every save of a row executes it.
    """

    sql: str
    columns: Sequence[str]
    """The column that each parameter is for."""

    def mark(
        self, connection: BaseDatabaseWrapper, source: str, key: str, *, present: bool
    ) -> None:
        """Mark one entry, in the transaction of the shop if there is one."""
        values = _mark(source, key, _time_of(connection, timezone.now()), present=present)
        params = [values[name] for name in self.columns]
        if connection.in_atomic_block:
            self._execute(connection, params)
        else:
            repeat_after_conflict(partial(self._execute, connection, params))

    def _execute(self, connection: BaseDatabaseWrapper, params: Sequence[Any]) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(self.sql, params)
        except BaseException:
            with transaction.mark_for_rollback_on_error(using=connection.alias):
                raise


def _make_token() -> str:
    """Return a random UUID of version 4 as text, in a third of the time of `uuid.uuid4`."""
    text = os.urandom(16).hex()
    return f"{text[:12]}4{text[13:16]}a{text[17:]}"  # MariaDB refuses others


def _time_of(connection: BaseDatabaseWrapper, moment: datetime) -> str:
    """Return a time as the database takes it: as text, which is cheaper to hand over."""
    return str(connection.ops.adapt_datetimefield_value(moment))


def _mark(source: str, key: str, time: str | datetime, *, present: bool) -> dict[str, Any]:
    """Return the columns that differ from mark to mark."""
    return {
        "source": source,
        "object_pk": key,
        "present": present,
        "wanted": _make_token(),
        "due_at": time,
        "marked_at": time,
    }


_statements: dict[tuple[str, type, bool], _Statement | None] = {}
"""By alias, kind of connection and `force`."""


def _statement(connection: BaseDatabaseWrapper, *, force: bool) -> _Statement | None:
    """Return the upsert of one entry, or None if the database takes no such statement."""
    known = connection.alias, type(connection), force
    if known not in _statements:
        _statements[known] = _compile(connection, force=force)
    return _statements[known]


def _compile(connection: BaseDatabaseWrapper, *, force: bool) -> _Statement | None:
    """Have Django write the upsert of an example.

    Returns None if its parameters are not the values that differ from mark to mark, one for each
    column and as `_Statement.mark` gives them: then `bulk_create` must write each mark.
    """
    if not connection.features.supports_update_conflicts:
        return None
    now = timezone.now()
    values = _mark("a source", "a key", now, present=True)
    example = Entry(**values)
    fields = [field for field in Entry._meta.concrete_fields if not field.primary_key]
    for field in fields:
        if field.attname not in values:
            setattr(example, field.attname, _constant(getattr(example, field.attname)))
    conflict = _conflict(force=force)
    query = InsertQuery(
        Entry,
        on_conflict=OnConflict.UPDATE,
        **{role: [Entry._meta.get_field(n) for n in names] for role, names in conflict.items()},
    )
    query.insert_values(fields, [example])
    ((sql, params),) = query.get_compiler(connection=connection).as_sql()
    columns = [field.attname for field in fields if field.attname in values]
    given = values | dict.fromkeys(("due_at", "marked_at"), _time_of(connection, now))
    if [*map(_as_text, params)] != [given[name] for name in columns]:
        return None
    return _Statement(sql=sql, columns=columns)


def _as_text(param: object) -> object:
    """Return a token or a time as `_Statement.mark` gives it; any other parameter as it is."""
    if isinstance(param, uuid.UUID):
        return param.hex
    return str(param) if isinstance(param, datetime) else param


def _constant(value: str | int | None) -> RawSQL:
    """Return a default of the model as part of the statement: each parameter takes its time."""
    if value is None:
        return RawSQL("NULL", ())
    text = str(value).replace("'", "''").replace("%", "%%")
    return RawSQL(f"'{text}'" if isinstance(value, str) else text, ())  # noqa: S611


class _Pause:
    """The marks held back by one `paused()` block.

    A task or thread that the block started inherits this object with its context, and may
    outlive the block: what it marks afterwards is not taken any more. Nor is what a process marks
    that was forked in the block: it may never reach the block's end.
    """

    def __init__(self) -> None:
        self._closed = False
        self._process = os.getpid()
        self._marks: set[tuple[str, str]] = set()

    @property
    def closed(self) -> bool:
        return self._closed or self._process != os.getpid()

    def take(self, marks: Iterable[tuple[str, str]]) -> bool:
        """Hold the marks back. Returns False if the block is over."""
        with _pausing:
            if not self.closed:
                self._marks.update(marks)
            return not self.closed

    def close(self) -> set[tuple[str, str]]:
        """End the block and return the marks to write: none in a forked process."""
        with _pausing:
            marks = set() if self.closed else self._marks
            self._closed = True
            return marks


_pause: ContextVar[_Pause | None] = ContextVar("mmsearch_pause", default=None)
_pausing = threading.Lock()
"""One for all pauses, so that it can be renewed after a fork; it is taken for microseconds."""


def _renew_lock() -> None:
    global _pausing
    _pausing = threading.Lock()


renew_after_fork(_renew_lock)


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Hold back all marks of this thread (or task) and write them together at the end.

    For imports: one statement for 500 rows instead of one per row. The worker finds out which
    rows still exist, so that a delete that is rolled back in the block removes nothing. Nothing
    is lost if the block raises; if the process is killed, the marks held back are lost, and
    `mmsearch_reconcile` finds them.
    """
    outer = _pause.get()
    if outer is not None and not outer.closed:
        yield
        return
    pause = _Pause()
    token = _pause.set(pause)
    try:
        yield
    except BaseException:
        _pause.reset(token)
        _write_after_error(pause.close())
        raise
    _pause.reset(token)
    _write(pause.close())
    notify.after_commit()


def _write_after_error(marks: set[tuple[str, str]]) -> None:
    """Write the marks, unless the transaction is broken: then their cause is undone, too."""
    try:
        _write(marks)
    except DatabaseError as error:
        log.warning("%d marks were not written: %s", len(marks), error)
    else:
        notify.after_commit()
