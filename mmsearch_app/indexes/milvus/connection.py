"""A connection to Milvus that survives forks, closes for good and fails in plain words."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings

from mmsearch_app.indexes.base import IndexFault, IndexMissing, IndexUnavailable
from mmsearch_app.indexes.milvus import file

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pymilvus import MilvusClient

__all__ = ["Connection"]

SCHEMES = ("http", "https", "tcp", "unix")
NOT_CONNECTED = 2
NOT_FOUND = (100, 1600)
"""Milvus' codes for a missing collection and a missing alias."""
NOT_LOADED = 101

# Keyed by process as well: after a fork, a lock of the parent may be held for ever.
_locks: dict[tuple[int, str], threading.RLock] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    client: MilvusClient
    pid: int
    version: str


def _anchor(path: str) -> str:
    """The path from the project's folder, wherever a command or a server is started."""
    base = getattr(settings, "BASE_DIR", "") if settings.configured else ""
    return os.path.abspath(os.path.join(base, path))


class Connection:
    """Calls of a `MilvusClient`, opened by the first call in each process.

    Calls to Milvus Lite, embedded or served, take turns within the process: its concurrent
    writers lose acknowledged rows, and readers miss the rows being flushed.
    """

    def __init__(
        self, *, uri: str | os.PathLike[str], token: str, database: str, timeout: float
    ) -> None:
        uri = _read_uri(uri)
        self.path = None if urlsplit(uri).scheme in SCHEMES else _anchor(uri)
        self.timeout = timeout
        self._options: dict[str, Any] = {
            "uri": self.path or uri,
            "token": token,
            "db_name": database,
            "grpc_options": {
                # Pings of idle connections: across the internet they keep the way open,
                # Milvus Lite hangs up on them (too_many_pings), also on who just connects.
                "grpc.keepalive_permit_without_calls": int(uri.startswith("https:")),
                # No connection is shared with another client, nor with a parent after a fork.
                "grpc.use_local_subchannel_pool": 1,
            },
        }
        self._opened: _Opened | None = None

    @property
    def place(self) -> str:
        """Where Milvus is, without user name and password."""
        parts = urlsplit(str(self._options["uri"]))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def version(self) -> str:
        return self._open().version

    @property
    def lite(self) -> bool:
        """Whether Milvus Lite answers, from a file or as a server."""
        return self.path is not None or self.version.startswith("milvus_lite")

    def turn(self) -> AbstractContextManager[None]:
        """Keep other threads' calls out meanwhile, where Milvus Lite needs that."""
        return self._alone() if self.lite else nullcontext()

    def call(self, method: str, /, *args: Any, **options: Any) -> Any:
        """Call a method of the client; its first argument is the collection, if it has one.

        Raises IndexUnavailable or IndexMissing. Tried anew when the collection has to be
        loaded first, or when another thread closed the client meanwhile.
        """
        loaded = False
        with self.turn():
            while True:
                opened = self._open()
                try:
                    return self._invoke(opened, method, *args, **options)
                except IndexUnavailable as error:
                    if getattr(error.__cause__, "code", None) == NOT_LOADED and not loaded:
                        loaded = True
                        self._load(opened, args[0])
                    elif self._opened is opened:
                        raise

    def close(self) -> None:
        """Release the client and, with the last user of a file in this process, the file."""
        if self._opened is None:
            return
        with self._alone(), _faults(f"Milvus at {self.place}"):
            opened, self._opened = self._opened, None
            if opened is None or opened.pid != os.getpid():
                return
            opened.client.close()
            if self.path:
                file.release_file(self.path)

    def _load(self, opened: _Opened, collection: str) -> None:
        try:
            self._invoke(opened, "load_collection", collection)
        except IndexUnavailable:
            if not self.path or not file.discard_sidecars(self.path, collection):
                raise
            self._invoke(opened, "load_collection", collection)

    def _invoke(self, opened: _Opened, method: str, *args: Any, **options: Any) -> Any:
        with _faults(f"Milvus at {self.place}, {method}"):
            return getattr(opened.client, method)(*args, timeout=self.timeout, **options)

    def _open(self) -> _Opened:
        opened = self._opened
        if opened is not None and opened.pid == os.getpid():
            return opened
        with self._alone():
            opened = self._opened
            if opened is None or opened.pid != os.getpid():
                opened = self._opened = self._connect()
            return opened

    def _connect(self) -> _Opened:
        from pymilvus import MilvusClient

        _quieten()
        if self.path:
            file.claim_file(self.path)
        try:
            with _faults(f"Milvus at {self.place}, opening"):
                # A client of its own: the shared ones are never closed.
                client = MilvusClient(**self._options, timeout=self.timeout, dedicated=True)
                version = client.get_server_version(timeout=self.timeout)
        except IndexFault as error:
            if not self.path:
                raise
            file.release_file(self.path)
            msg = f"Milvus Lite cannot open {self.path}. {file.explain_locked_file(self.path)}"
            raise IndexUnavailable(msg) from error
        return _Opened(client=client, pid=os.getpid(), version=version)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = _locks.setdefault((os.getpid(), self.place), threading.RLock())
        if not lock.acquire(timeout=self.timeout):
            msg = f"Milvus at {self.place} is busy with another thread since {self.timeout:g} s."
            raise IndexUnavailable(msg)
        try:
            yield
        finally:
            lock.release()


def _read_uri(given: str | os.PathLike[str]) -> str:
    """Checked without connecting. An address, which may hold a password, is never repeated."""
    if not isinstance(given, str | os.PathLike):
        msg = f"uri must be a path or an address, not {type(given).__name__}."
        raise ValueError(msg)
    uri = os.fspath(given)
    try:
        parts = urlsplit(uri)
        _ = parts.port  # raises what is wrong with it
    except ValueError as error:
        msg = f"uri is no address: {error}."
        raise ValueError(msg) from error
    if parts.scheme in SCHEMES:
        if not (parts.path if parts.scheme == "unix" else parts.hostname):
            msg = f"uri names no place after {parts.scheme}:"
            raise ValueError(msg)
    elif not uri.endswith(".db"):
        known = ", ".join(f"{scheme}:" for scheme in SCHEMES)
        msg = f"uri={uri!r} must be a path that ends in .db or start with one of {known}"
        raise ValueError(msg)
    return uri


@contextmanager
def _faults(what: str) -> Iterator[None]:
    """Turn what pymilvus and gRPC raise into the faults of an index."""
    from grpc import RpcError  # type: ignore[import-untyped]
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        # Milvus Lite lets a traceback follow.
        reason = error.message.partition("\n")[0]
        if error.code in NOT_FOUND:
            raise IndexMissing(f"{what}: {reason}") from error
        hint = " Is it running, are uri and token right?" if error.code == NOT_CONNECTED else ""
        raise IndexUnavailable(f"{what}: {reason}.{hint}") from error
    except RpcError as error:
        code = getattr(error, "code", lambda: None)()
        raise IndexUnavailable(f"{what}: {getattr(code, 'name', error)}.") from error


@cache
def _quieten() -> None:
    """These log a traceback of every error before they raise it; ours say it once."""
    for name in ("pymilvus.decorators", "milvus_lite.server_manager"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
