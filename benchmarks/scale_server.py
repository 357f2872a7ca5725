"""The Milvus server of `benchmarks.scale`: started, stopped and weighed in one network namespace.

It listens on every interface. So the whole benchmark runs in a namespace with a loopback only,
where no relay stands between client and server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.indexes.milvus_server import SHELTER, find_obstacle
from tests.indexes.sheltered_milvus import raise_loopback

MARK = "MMSEARCH_SCALE_SHELTERED"


def shelter(module: str, arguments: Sequence[str]) -> None:
    """Run the module again in a namespace of its own, unless this process is in it already.

    Exits with the status of that run, or with a sentence if there can be none.
    """
    if MARK in os.environ:
        raise_loopback()
        return
    if obstacle := find_obstacle():
        raise SystemExit(f"No Milvus server: {obstacle}")
    command = [*SHELTER, sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env={**os.environ, MARK: "1"}, check=False)
    raise SystemExit(done.returncode)


@dataclass(frozen=True)
class Server:
    """A Milvus server that runs: its address, and its process in this namespace."""

    uri: str
    pid: int

    def memory(self) -> int:
        """Return the bytes of memory of the server's own, without files that are mapped."""
        return memory(self.pid)

    def seconds(self) -> float:
        """Return the seconds of processor time that the server has used."""
        return seconds(self.pid)


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Run a server with its data in `folder`, which it finds again at the next start."""
    from milvus import MilvusServer, MilvusServerConfig

    folder.mkdir(parents=True, exist_ok=True)
    config = MilvusServerConfig(data_dir=str(folder))
    config.set("queryNode.enableDisk", val=True)  # for DISKANN
    server = MilvusServer(config)
    server.start()
    try:
        yield Server(f"http://127.0.0.1:{server.listen_port}", server.server_proc.pid)
    finally:
        server.stop()


def memory(pid: int | str = "self") -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return sum(int(sizes[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))


def seconds(pid: int | str = "self") -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
