"""Run the tests of the core on MariaDB: `python -m tests.mariadb [pytest's arguments]`.

Starts a private server with a random password. Debian's package `mariadb-server` is enough; no
server needs to run.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.servers import free_port, private_folder, run_core, running

FAST = [
    "innodb-flush-log-at-trx-commit=0",
    "innodb-doublewrite=0",
    "sync-binlog=0",
    "skip-log-bin",
    "innodb-buffer-pool-size=64M",
    "performance-schema=OFF",
]
IMPATIENT = ["innodb-lock-wait-timeout=60", "lock-wait-timeout=120"]
"""Makes a test that would wait forever for a lock fail instead."""


def find_obstacle() -> str:
    """Why no server can be started here, or "" if one can."""
    for program in ("mariadb-install-db", "mariadbd"):
        if _find(program) is None:
            return "MariaDB is not installed: apt-get install mariadb-server"
    if find_spec("MySQLdb") is None and find_spec("pymysql") is None:
        return "no client of MySQL is installed: pip install pymysql"
    return ""


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


@contextmanager
def server() -> Iterator[str]:
    """Run a server during the block; yields its address for `DATABASE_URL`.

    Raises FileNotFoundError if MariaDB is not installed.
    """
    if obstacle := find_obstacle():
        raise FileNotFoundError(obstacle)
    with private_folder("mariadb", user="mysql") as (folder, as_user):
        data, password, port = folder / "data", secrets.token_hex(), free_port()
        install = [str(_find("mariadb-install-db")), "--no-defaults", f"--datadir={data}"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(
            install,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={**os.environ, "TMPDIR": str(folder)},
            **as_user,
        )
        start = _write_start(folder / "start.sql", password)
        options = [
            f"datadir={data}",
            f"tmpdir={folder}",
            f"socket={folder}/socket",
            f"pid-file={folder}/pid",
            f"init-file={start}",
            "bind-address=127.0.0.1",
            f"port={port}",
            "character-set-server=utf8mb4",
        ]
        command = [str(_find("mariadbd")), "--no-defaults"]
        command += [f"--{option}" for option in [*options, *FAST, *IMPATIENT]]
        with running(
            command, as_user, connect=lambda: _connect(port, password), stop=signal.SIGTERM
        ):
            yield f"mysql://shop:{password}@127.0.0.1:{port}/shop"


def _write_start(path: Path, password: str) -> Path:
    """Write the statements that make the user and the database."""
    path.write_text(
        "CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4;\n"
        f"CREATE USER shop@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        "GRANT ALL PRIVILEGES ON *.* TO shop@'127.0.0.1';\n"
    )
    return path


def _connect(port: int, password: str) -> object:
    from django.db.backends.mysql import base

    client: Any = vars(base)["Database"]  # mysqlclient or PyMySQL
    return client.connect(host="127.0.0.1", port=port, user="shop", password=password)


if __name__ == "__main__":
    from tests import settings  # noqa: F401 - offers a client of MySQL

    sys.exit(run_core(server, sys.argv[1:]))
