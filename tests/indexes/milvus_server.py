"""A real Milvus server that only this machine can reach."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

__all__ = ["find_obstacle", "serve"]

SCRIPT = Path(__file__).with_name("sheltered_milvus.py")
SHELTER = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def find_obstacle() -> str:
    """Why no server can be started here, or "" if one can."""
    if find_spec("milvus") is None:
        return "the package milvus (a Milvus server) is not installed"
    if shutil.which("unshare") is None:
        return "unshare, which keeps the Milvus server off the network, is not installed"
    allowed = subprocess.run([*SHELTER, "true"], capture_output=True, text=True, check=False)
    if allowed.returncode:
        return f"no network namespace for the Milvus server: {allowed.stderr.strip()}"
    return ""


@contextmanager
def serve(data: Path) -> Iterator[str]:
    """Run a server with its data in a folder that is removed at the end; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        with subprocess.Popen(
            [*SHELTER, sys.executable, str(SCRIPT), str(data), str(descriptor)],
            pass_fds=[descriptor],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n", "the Milvus server did not start"
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.communicate(timeout=120)
    shutil.rmtree(data)
