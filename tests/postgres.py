"""Run the tests of the core on PostgreSQL: `python -m tests.postgres [pytest's arguments]`.

Starts a private server with a random password. Debian's package `postgresql` is enough; no
server needs to run.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import ROOT, free_port, private_folder, run_core, running

__all__ = ["ROOT", "cluster", "find_binaries", "find_obstacle"]

FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
IMPATIENT = ["lock_timeout=120s"]
"""Makes a test that would wait forever for a lock fail instead."""


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, or None if there is none."""
    found = [Path(initdb).parent] if (initdb := shutil.which("initdb")) else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


def find_obstacle() -> str:
    """Why no server can be started here, or "" if one can."""
    if find_binaries() is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    return ""


@contextmanager
def cluster() -> Iterator[str]:
    """Run a server during the block; yields its address for `DATABASE_URL`.

    Raises FileNotFoundError if PostgreSQL is not installed.
    """
    binaries = find_binaries()
    if binaries is None:
        msg = "PostgreSQL is not installed (no initdb found)"
        raise FileNotFoundError(msg)
    with private_folder("postgres", user="postgres") as (folder, as_user):
        data, password, port = folder / "data", secrets.token_hex(), free_port()
        initdb = [str(binaries / "initdb"), "--pgdata", str(data), "--username=shop", "--no-sync"]
        (folder / "password").write_text(password)  # no other user may look into the folder
        initdb += ["--auth=scram-sha-256", f"--pwfile={folder}/password", "--encoding=UTF8"]
        subprocess.run(
            [*initdb, "--locale=C"], check=True, stdout=subprocess.DEVNULL, cwd="/", **as_user
        )
        options = [
            f"port={port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={folder}",
        ]
        command = [str(binaries / "postgres"), "-D", str(data)]
        command += [word for option in [*options, *FAST, *IMPATIENT] for word in ("-c", option)]
        address = f"shop:{password}@127.0.0.1:{port}/postgres"
        with running(command, as_user, connect=lambda: _connect(address), stop=signal.SIGINT):
            yield f"postgres://{address}"


def _connect(address: str) -> object:
    import psycopg

    return psycopg.connect(f"postgresql://{address}")


if __name__ == "__main__":
    sys.exit(run_core(cluster, sys.argv[1:]))
