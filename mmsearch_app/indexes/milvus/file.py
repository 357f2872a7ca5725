"""The file of Milvus Lite: its users in this process, and recovery after a kill."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path

from mmsearch_app.inference import renew_after_fork

_users: Counter[str] = Counter()


def limit_memory() -> None:
    """Let Arrow, in which Milvus Lite keeps its rows, return what it frees; its own pool keeps it.

    Call it before Arrow is imported, as pymilvus does; the environment may say otherwise.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def claim_file(path: str) -> None:
    """Register a user of the file in this process; each calls `release_file` at its end."""
    _disown_after_fork()
    _users[path] += 1


def release_file(path: str) -> None:
    """Unregister a user; the last one closes the file, so that another process can open it."""
    from milvus_lite.server_manager import server_manager_instance

    _users[path] -= 1
    if _users[path] <= 0:
        del _users[path]
        server_manager_instance.release_server(path)


def explain_locked_file(path: str) -> str:
    """Return the likely reason why Milvus Lite cannot open the file, and the remedy."""
    folder = Path(path).parent
    if not folder.is_dir():
        return f"There is no folder {folder}."
    if Path(path).is_file():
        return "It is an ordinary file, not a Milvus Lite folder: choose another path."
    if not os.access(path if Path(path).exists() else folder, os.W_OK):
        return "This user has no write permission there."
    return (
        "Only one process can open it: stop the other one (a worker, a shell, a second runserver) "
        "or use a Milvus server."
    )


def discard_sidecars(path: str, collection: str) -> bool:
    """Delete index files that Lite rebuilds from its rows. Returns whether there were any.

    Lite writes them in place: a process killed at that moment leaves a broken file, with which
    the collection cannot be loaded.
    """
    torn = [file for file in Path(path).rglob("*.*idx") if collection in file.parts]
    for file in torn:
        file.unlink()
    return bool(torn)


@cache
def _disown_after_fork() -> None:
    """Keep forked children from using their parent's embedded server.

    A child would write without the parent's lock, keep the file locked after the parent's end,
    and flush into files that the parent has open when it ends itself. milvus-lite has no public
    way to give a server up without closing its files.
    """
    from milvus_lite.server_manager import server_manager_instance

    def disown() -> None:
        with suppress(AttributeError, OSError):
            for _, database, _ in server_manager_instance._servers.values():
                os.close(database._lock_fd)
                database._lock_fd = None
        server_manager_instance._servers = {}
        _users.clear()

    renew_after_fork(disown)
