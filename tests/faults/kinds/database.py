"""A database that breaks connections off, locks, or is down for a moment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg
from django.db import DatabaseError, connection, connections, transaction

from tests.faults.faults import DATABASE_DOWN, fault
from tests.faults.scene import Scene, work_for_a_while
from tests.faults.steps import BATCH, at
from tests.waiting import until

GROUP = "PostgreSQL"


@contextmanager
def administrator() -> Iterator[Any]:
    """A connection of its own to the server, to another database than the shop's."""
    used = connection.settings_dict
    with psycopg.connect(
        host=used["HOST"],
        port=used["PORT"],
        user=used["USER"],
        password=used["PASSWORD"],
        dbname="postgres",
        autocommit=True,
    ) as made:
        yield made


def end_connections() -> None:
    """Break off all connections to the shop's database."""
    with administrator() as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [connection.settings_dict["NAME"]],
        )


def crash() -> None:
    """Kill a process of the server: the server ends all connections and recovers."""
    with administrator() as admin:
        (pid,) = admin.execute("SELECT pg_backend_pid()").fetchone()
        os.kill(pid, signal.SIGKILL)


def reconnect() -> None:
    """Wait until the shop's database answers again."""

    def answers() -> bool:
        connection.close()
        with suppress(DatabaseError):
            connection.ensure_connection()
            return True
        return False

    until(answers, seconds=60)


def _broken_off(step: str, act: Callable[[], object], what: str) -> None:
    @fault(f"{what} {step}", group=GROUP, statuses=DATABASE_DOWN)
    def inject(scene: Scene) -> None:
        title = scene.product(0).title
        scene.retitle(0, "zebra mug")
        scene.retitle(1, "zebra shirt")
        with at(step, act):
            work_for_a_while()
        reconnect()
        scene.retitle(0, title)


for name in BATCH:
    _broken_off(name, end_connections, "All connections to the database end")
for name in ("while the model embeds", "before the ledger is written"):
    _broken_off(name, crash, "The database crashes and starts again")


@fault("Two editors run into a deadlock", group=GROUP)
def _deadlock(scene: Scene) -> None:
    both = threading.Barrier(2)
    failed = []

    def edit(first: int, second: int) -> None:
        try:
            with transaction.atomic():
                scene.retitle(first, f"zebra {first}{second}")
                both.wait(30)
                scene.retitle(second, f"zebra {second}{first}")
        except DatabaseError as error:
            failed.append(error)
        finally:
            connections.close_all()

    editors = [threading.Thread(target=edit, args=pair) for pair in ((0, 1), (1, 0))]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join(60)
    assert len(failed) == 1


@fault("An editor's transaction stays open while a worker works", group=GROUP)
def _open_transaction(scene: Scene) -> None:
    with transaction.atomic():
        scene.retitle(0, "zebra mug")
        work = threading.Thread(target=_work_in_thread)
        for number in (1, 2, 3):
            _in_thread(partial(scene.retitle, number, f"zebra {number}"))
        work.start()
        work.join(60)
        assert not work.is_alive()


@fault("A worker's statements run into a time limit", group=GROUP)
def _statement_timeout(scene: Scene) -> None:
    scene.retitle(0, "zebra mug")

    def limit() -> None:
        connection.cursor().execute("SET statement_timeout = '50ms'")

    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION slow() RETURNS trigger AS "
            "$$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$ LANGUAGE plpgsql"
        )
        cursor.execute(
            "CREATE TRIGGER slow BEFORE UPDATE ON mmsearch_app_entry FOR EACH ROW "
            "EXECUTE FUNCTION slow()"
        )
    try:
        with at("before the ledger is written", limit):
            work_for_a_while()
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION slow CASCADE")


@fault("The database only allows reading for a while", group=GROUP, statuses=DATABASE_DOWN)
def _read_only(scene: Scene) -> Iterator[None]:
    scene.retitle(0, "zebra mug")
    name = connection.settings_dict["NAME"]
    with administrator() as admin:
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        try:
            end_connections()
            reconnect()
            with suppress(DatabaseError):
                work_for_a_while()
            yield
        finally:
            admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
            end_connections()
            reconnect()


@fault("A worker cannot connect to the database", group=GROUP)
def _refused(scene: Scene) -> None:
    scene.retitle(0, "zebra mug")
    used = connection.settings_dict
    right = used["PORT"]
    connection.close()
    used["PORT"] = 1
    try:
        with suppress(DatabaseError):
            work_for_a_while()
    finally:
        used["PORT"] = right


def _work_in_thread() -> None:
    try:
        work_for_a_while()
    finally:
        connections.close_all()


def _in_thread(act: Callable[[], object]) -> None:
    def run() -> None:
        try:
            act()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
