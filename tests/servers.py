"""Private database servers for tests: on the loopback, in a temporary folder, gone at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORE = [
    *(f"tests/{room}" for room in ("sources", "indexing", "searching", "management")),
    *(f"tests/test_{name}.py" for name in ("checks", "checks_keys")),
    "--ignore=tests/searching/reranking",
    "--ignore=tests/indexing/test_s3.py",
    "--only-database",
]
"""The tests that depend on the database."""
START_SECONDS = 300


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def private_folder(name: str, *, user: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields a temporary folder, and the options of `subprocess` to run as its owner.

    The owner is `user` if this process is root, since database servers refuse to run as root.
    """
    with tempfile.TemporaryDirectory(prefix=f"mmsearch-{name}-") as folder:
        if os.geteuid() != 0:
            yield Path(folder), {}
            return
        shutil.chown(folder, user, user)
        yield Path(folder), {"user": user, "group": user, "extra_groups": []}


@contextmanager
def running(
    command: Sequence[str],
    as_user: dict[str, Any],
    *,
    connect: Callable[[], Any],
    stop: signal.Signals,
) -> Iterator[None]:
    """Run a server during the block, which starts as soon as `connect` raises nothing.

    Raises what `connect` raises if the server ends, or does not answer for `START_SECONDS`.
    """
    log = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **as_user) as server:
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    connect().close()
                    break
                except Exception:
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
            yield
        finally:
            server.send_signal(stop)


def run_core(serve: Callable[[], AbstractContextManager[str]], arguments: Sequence[str]) -> int:
    """Run pytest on `CORE` in a process that uses the server; returns its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped
    with serve() as url:
        environment = {**os.environ, "DATABASE_URL": url}
        command = [sys.executable, "-m", "pytest", *CORE, *arguments]
        return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
