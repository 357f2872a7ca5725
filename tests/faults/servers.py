"""Real servers that faults can kill, stop and start again; private, on the loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.indexes.milvus_server import SCRIPT, SHELTER
from tests.servers import free_port
from tests.waiting import until


class Milvus:
    """A Milvus server whose address and data stay the same when it is started again."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.start()

    def start(self) -> None:
        descriptor = self._listener.fileno()
        self._server = subprocess.Popen(
            [*SHELTER, sys.executable, str(SCRIPT), str(self._data), str(descriptor)],
            pass_fds=[descriptor],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n", "the Milvus server did not start"

    def kill(self) -> None:
        """End the server as by a power cut: with SIGKILL, and all its children with it."""
        self._server.kill()
        self._server.wait(60)
        for stream in (self._server.stdin, self._server.stdout):
            assert stream is not None
            stream.close()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop all its processes with SIGSTOP during the block."""
        pids = list(_descendants(self._server.pid))
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in reversed(pids):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._server.communicate(timeout=60)
        if self._server.poll() is None:
            self.kill()
        self._listener.close()
        shutil.rmtree(self._data, ignore_errors=True)


def _descendants(pid: int) -> Iterator[int]:
    """Yield the processes that this one has started, and theirs; it starts with the first."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _descendants(int(child))


class Redis:
    """A Redis server in the memory; what it holds is gone when it is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(self._folder)]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self._answers, seconds=60)

    def kill(self) -> None:
        self._server.kill()
        self._server.wait(30)

    def restart(self) -> None:
        self.kill()
        self.start()

    def flush(self) -> None:
        self._ask(b"FLUSHALL\r\n")

    def close(self) -> None:
        self.kill()

    def _answers(self) -> bool:
        with suppress(OSError):
            return self._ask(b"PING\r\n").startswith(b"+PONG")
        return False

    def _ask(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(command)
            return connection.recv(100)


class Bucket:
    """An S3 server with one bucket."""

    NAME = "pictures"

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            os.environ[name] = "testing"
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.port = int(self._server.get_host_and_port()[1])
        with closing(HTTPConnection("127.0.0.1", self.port)) as connection:
            connection.request("POST", "/moto-api/reset")
            assert connection.getresponse().status == 200

    def storage(self, port: int, *, bucket: str = NAME) -> Any:
        """Return a storage of Django that reaches the server by `port`."""
        from botocore.config import Config
        from storages.backends.s3 import S3Storage

        timeouts = {"connect_timeout": 1, "read_timeout": 1}
        return S3Storage(
            bucket_name=bucket,
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            client_config=Config(**timeouts, retries={"total_max_attempts": 1}),
        )

    def create(self) -> None:
        import boto3

        endpoint = f"http://127.0.0.1:{self.port}"
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket=self.NAME)
        client.close()

    def close(self) -> None:
        self._server.stop()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            os.environ.pop(name, None)


def pause(seconds: float) -> None:
    """Let real time pass, for example until a lease has run out."""
    time.sleep(seconds)
