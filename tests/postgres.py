"""Run the tests of the core on PostgreSQL: `python -m tests.postgres [pytest's arguments]`.

Starts a private server on the loopback, with its data in a temporary folder and a random
password, and stops it at the end. Debian's package `postgresql` is enough; no server needs to run.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORE = [
    *(f"tests/{room}" for room in ("sources", "indexing", "searching", "evaluation", "management")),
    *(f"tests/test_{name}.py" for name in ("backends", "checks", "checks_keys", "conf", "startup")),
    "--ignore=tests/searching/reranking",
]
"""The tests that depend on the database."""
START_SECONDS = 300
FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
IMPATIENT = ["lock_timeout=120s"]
"""Makes a test that would wait forever for a lock fail instead."""


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, or None if there is none."""
    found = [Path(initdb).parent] if (initdb := shutil.which("initdb")) else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


@contextmanager
def cluster() -> Iterator[str]:
    """Run a server during the block; yields its address for `DATABASE_URL`.

    Raises FileNotFoundError if PostgreSQL is not installed.
    """
    binaries = find_binaries()
    if binaries is None:
        msg = "PostgreSQL is not installed (no initdb found)"
        raise FileNotFoundError(msg)
    with tempfile.TemporaryDirectory(prefix="mmsearch-postgres-") as folder:
        data, password = Path(folder) / "data", secrets.token_hex()
        as_user = _prepare(Path(folder), password)
        initdb = [str(binaries / "initdb"), "--pgdata", str(data), "--username=shop", "--no-sync"]
        initdb += ["--auth=scram-sha-256", f"--pwfile={folder}/password", "--encoding=UTF8"]
        subprocess.run(
            [*initdb, "--locale=C"], check=True, stdout=subprocess.DEVNULL, cwd="/", **as_user
        )
        port = _free_port()
        options = [
            f"port={port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={folder}",
        ]
        command = [str(binaries / "postgres"), "-D", str(data)]
        command += [word for option in [*options, *FAST, *IMPATIENT] for word in ("-c", option)]
        log = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **as_user) as server:
            try:
                url = f"postgres://shop:{password}@127.0.0.1:{port}/postgres"
                _wait_for(url, server)
                yield url
            finally:
                server.send_signal(signal.SIGINT)


def _prepare(folder: Path, password: str) -> dict[str, Any]:
    """Write the password file; returns the user to run as, since PostgreSQL refuses root."""
    (folder / "password").write_text(password)
    if os.geteuid() != 0:
        return {}
    for path in (folder, folder / "password"):
        shutil.chown(path, "postgres", "postgres")
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[Any]) -> None:
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url.replace("postgres://", "postgresql://")).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def main(arguments: Sequence[str]) -> int:
    """Run pytest on `CORE` in a process that uses the server; returns its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped
    with cluster() as url:
        environment = {**os.environ, "DATABASE_URL": url}
        command = [sys.executable, "-m", "pytest", *CORE, *arguments]
        return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
