"""A connection to Milvus: opened on first use, reopened after a fork, with plain errors."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from mmsearch_app.indexes.base import IndexFault, IndexMissing, IndexUnavailable
from mmsearch_app.indexes.milvus import file
from mmsearch_app.inference import (
    is_loopback,
    last_moment,
    renew_after_fork,
    threads_replaced_by,
    threads_replaced_late,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pymilvus import MilvusClient

SCHEMES = ("http", "https", "tcp", "unix")
NOT_CONNECTED = 2
NOT_FOUND = (100, 1600)
"""Milvus' codes for a missing collection and a missing alias."""
NOT_LOADED = 101
_LEAST = 0.05
"""Seconds that a call may take at least, if no time is left: gRPC takes 0 for none at all."""

_locks: dict[str, threading.RLock] = {}
"""By location: all connections to one Milvus Lite take turns."""
renew_after_fork(_locks.clear)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    client: MilvusClient
    version: str


def _is_local(uri: str) -> bool:
    """Whether Milvus runs on this machine: a file, or a server on a loopback address."""
    parts = urlsplit(uri)
    return (
        parts.scheme not in SCHEMES or parts.scheme == "unix" or is_loopback(parts.hostname or "")
    )


def _anchor(path: str) -> str:
    """Return the path relative to BASE_DIR, so that it does not depend on the working folder."""
    base = getattr(settings, "BASE_DIR", "") if settings.configured else ""
    return os.path.abspath(os.path.join(base, path))


class Connection:
    """Calls a `MilvusClient`, which the first call in each process opens.

    Calls to Milvus Lite, embedded or as a server, take turns within the process: concurrent
    writers lose acknowledged rows there, and readers miss rows that are being flushed.
    """

    def __init__(
        self, *, uri: str | os.PathLike[str], token: str, database: str, timeout: float
    ) -> None:
        uri = _read_uri(uri)
        self.path = None if urlsplit(uri).scheme in SCHEMES else _anchor(uri)
        obstacle = _find_obstacle(lite=self.path is not None)
        if obstacle and not threads_replaced_late():  # later it is an outage: all else is served
            raise ImproperlyConfigured(obstacle)
        self.timeout = timeout
        self._options: dict[str, Any] = {
            "uri": self.path or uri,
            "token": token,
            "db_name": database,
            "grpc_options": {
                # Keepalive pings of idle connections: useful across the internet, but Milvus
                # Lite closes connections because of them (too_many_pings).
                "grpc.keepalive_permit_without_calls": int(uri.startswith("https:")),
                # Do not share connections with other clients or with the parent of a fork.
                "grpc.use_local_subchannel_pool": 1,
                # gRPC would reach even this machine through the proxy of the environment.
                "grpc.enable_http_proxy": int(not _is_local(uri)),
            },
        }
        self._opened: _Opened | None = None
        renew_after_fork(self._forget)

    def _forget(self) -> None:
        self._opened = None

    @property
    def place(self) -> str:
        """Location of Milvus, without user name and password."""
        parts = urlsplit(str(self._options["uri"]))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def version(self) -> str:
        return self._open().version

    @property
    def lite(self) -> bool:
        """Whether this is Milvus Lite, as a file or as a server. Connects."""
        return self.path is not None or self.version.startswith("milvus_lite")

    def turn(self) -> AbstractContextManager[None]:
        """Block other threads' calls inside the block if this is Milvus Lite."""
        return self._alone() if self.lite else nullcontext()

    def call(self, method: str, /, *args: Any, **options: Any) -> Any:
        """Call a method of the client. Its first argument is the collection, if it has one.

        Retries if the collection must be loaded first or if another thread closed the client
        meanwhile. Raises IndexUnavailable or IndexMissing.
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
        """Close the client, and the file if this was its last user in this process."""
        if self._opened is None:
            return
        with self._alone(), _faults(f"Milvus at {self.place}"):
            opened, self._opened = self._opened, None
            if opened is None:
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
            return getattr(opened.client, method)(*args, timeout=self._seconds(), **options)

    def _seconds(self) -> float:
        """Return how long the next call may take: visitors wait less long than workers."""
        return min(self.timeout, max(_LEAST, last_moment() - time.monotonic()))

    def _open(self) -> _Opened:
        if (opened := self._opened) is not None:
            return opened
        with self._alone():
            if self._opened is None:
                self._opened = self._connect()
            return self._opened

    def _connect(self) -> _Opened:
        if self.path:
            file.limit_memory()
        from pymilvus import MilvusClient

        if obstacle := _find_obstacle(lite=self.path is not None):
            raise IndexUnavailable(obstacle)
        _silence_loggers()
        _prepare_grpc()
        if self.path:
            file.claim_file(self.path)
        # A large file takes its time to open, and what was opened of it would be lost.
        seconds = self.timeout if self.path else self._seconds()
        try:
            with _faults(f"Milvus at {self.place}, opening"):
                # dedicated: pymilvus never closes its shared clients.
                client = MilvusClient(**self._options, timeout=seconds, dedicated=True)
                version = client.get_server_version(timeout=seconds)
        except IndexFault as error:
            if not self.path:
                raise
            file.release_file(self.path)
            msg = f"Milvus Lite cannot open {self.path}. {file.explain_locked_file(self.path)}"
            raise IndexUnavailable(msg) from error
        return _Opened(client=client, version=version)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = _locks.setdefault(self.place, threading.RLock())
        seconds = self._seconds()
        if not lock.acquire(timeout=seconds):
            msg = f"Milvus at {self.place} is busy with another thread for {seconds:.3g} s."
            raise IndexUnavailable(msg)
        try:
            yield
        finally:
            lock.release()


def _read_uri(given: str | os.PathLike[str]) -> str:
    """Check `uri` without connecting. Errors never repeat a URL: it may contain a password."""
    if not isinstance(given, str | os.PathLike):
        msg = f"uri must be a path or a URL, not {type(given).__name__}."
        raise ValueError(msg)
    uri = os.fspath(given)
    try:
        parts = urlsplit(uri)
        _ = parts.port  # raises what is wrong with it
    except ValueError as error:
        msg = f"uri is not a valid URL: {error}."
        raise ValueError(msg) from error
    if parts.scheme in SCHEMES:
        if not (parts.path if parts.scheme == "unix" else parts.hostname):
            msg = f"uri has no host after {parts.scheme}:"
            raise ValueError(msg)
    elif not uri.endswith(".db"):
        known = ", ".join(f"{scheme}:" for scheme in SCHEMES)
        msg = f"uri={uri!r} must be a path that ends in .db or start with one of {known}"
        raise ValueError(msg)
    return uri


@contextmanager
def _faults(what: str) -> Iterator[None]:
    """Turn errors of pymilvus and gRPC into IndexUnavailable or IndexMissing."""
    from grpc import RpcError  # type: ignore[import-untyped]
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        # In Milvus Lite a traceback follows.
        reason = error.message.partition("\n")[0]
        if error.code in NOT_FOUND:
            raise IndexMissing(f"{what}: {reason}") from error
        hint = " Is it running, are uri and token right?" if error.code == NOT_CONNECTED else ""
        raise IndexUnavailable(f"{what}: {reason}.{hint}") from error
    except RpcError as error:
        code = getattr(error, "code", lambda: None)()
        raise IndexUnavailable(f"{what}: {getattr(code, 'name', error)}.") from error


def _find_obstacle(*, lite: bool) -> str:
    """Return why Milvus cannot be used with this process's greenlets and the remedy, or "".

    Milvus Lite runs a server in a thread of the process: as a greenlet it could not answer one
    that waits for it, and the whole process would stand still for ever.
    """
    library = threads_replaced_by()
    if library == "eventlet":
        return "gRPC, by which Milvus is reached, cannot run under eventlet: use threads (gthread)."
    if library and threads_replaced_late():
        return (
            f"{library} replaced the threads of this process after mmsearch_app was loaded: start "
            "the server without preloading, or use threads (gunicorn --worker-class gthread)."
        )
    if library and lite:
        return (
            f"Milvus Lite cannot run under {library}: use a Milvus server, or threads (gunicorn "
            "--worker-class gthread)."
        )
    return ""


@cache
def _prepare_grpc() -> None:
    """Let gRPC wait by gevent if that is in use. Call it before a channel is opened."""
    if threads_replaced_by() == "gevent":
        from grpc.experimental.gevent import init_gevent  # type: ignore[import-untyped]

        init_gevent()


renew_after_fork(_prepare_grpc.cache_clear)


@cache
def _silence_loggers() -> None:
    """Silence loggers that log a traceback of every error that they raise as well."""
    for name in ("pymilvus.decorators", "milvus_lite.server_manager"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
