"""The file of Milvus Lite: who in this process uses it, and what a killed process leaves."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["claim_file", "discard_sidecars", "explain_locked_file", "release_file"]

_holders: Counter[tuple[int, str]] = Counter()


def claim_file(path: str) -> None:
    """Count this process' users of the file; each of them calls `release`."""
    _disown_after_fork()
    _holders[os.getpid(), path] += 1


def release_file(path: str) -> None:
    """Close the file with its last user, so that another process can open it."""
    from milvus_lite.server_manager import server_manager_instance

    holder = (os.getpid(), path)
    _holders[holder] -= 1
    if _holders[holder] <= 0:
        del _holders[holder]
        server_manager_instance.release_server(path)


def explain_locked_file(path: str) -> str:
    """Why Milvus Lite does not open the file, as far as can be seen from here."""
    folder = Path(path).parent
    if not folder.is_dir():
        return f"There is no folder {folder}."
    if Path(path).is_file():
        return "It is a plain file, of something else: name another path."
    if not os.access(path if Path(path).exists() else folder, os.W_OK):
        return "This user may not write there."
    return (
        "One process at a time can: stop the other one (a worker, a shell, a second runserver) "
        "or use a Milvus server."
    )


def discard_sidecars(path: str, collection: str) -> bool:
    """Delete the files that Lite can build again from its rows; answer whether there were any.

    They are written in place: a process killed at that moment leaves a torn one, and the
    collection could not be loaded ever after.
    """
    torn = [file for file in Path(path).rglob("*.*idx") if collection in file.parts]
    for file in torn:
        file.unlink()
    return bool(torn)


@cache
def _disown_after_fork() -> None:
    """Let no child use the embedded server of its parent.

    The child would write past the lock above, keep the file locked after the parent's end,
    and at its own end flush into files that the parent has open.
    """
    from milvus_lite.server_manager import server_manager_instance

    def disown() -> None:
        with suppress(AttributeError, OSError):
            for _, database, _ in server_manager_instance._servers.values():
                os.close(database._lock_fd)
                database._lock_fd = None
        server_manager_instance._servers = {}

    os.register_at_fork(after_in_child=disown)
