"""No lock, queue or thread of the app is forgotten in a forked child."""

from __future__ import annotations

import ast
import importlib
import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.exceptions import ImproperlyConfigured

import mmsearch_app
from tests.forking import works_in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

APP = Path(mmsearch_app.__file__).parent
STATE = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    threading.Barrier,
    threading.Thread,
    queue.Queue,
    queue.SimpleQueue,
    Executor,
)
CONSTRUCTORS = {
    *("Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier", "Timer"),
    *("Queue", "SimpleQueue", "LifoQueue", "PriorityQueue", "Thread", "ThreadPoolExecutor"),
}
SHORT_LIVED = {
    "admission._Caller": "one caller's wait, dropped with the queue that it is in",
    "batching._Call": "one caller's wait, dropped with the batcher's queue",
    "files._Batch": "one batch that is read; its threads end with it",
    "lanes.Call": "one step, which replies to the process that began it",
    "lanes._Thread": "dropped as a whole by the module",
    "loop.WorkerLoop": "belongs to its thread or command; a child builds its own",
    "warming._Warming": "dropped as a whole by the module",
    "overlap._UnderWay": "one drain, which only its own thread continues",
}
"""Classes whose objects no forked child goes on using, and why."""


class Held(NamedTuple):
    """A lock or the like in a module, or in an object of ours that a module holds."""

    place: str
    owner: dict[str, Any]
    name: str
    state: Any

    def is_renewed(self) -> bool:
        return self.owner.get(self.name) is not self.state


def modules() -> Iterator[Any]:
    for path in APP.rglob("*.py"):
        parts = path.relative_to(APP.parent).with_suffix("").parts
        if "migrations" in parts:
            continue
        try:
            yield importlib.import_module(".".join(p for p in parts if p != "__init__"))
        except ImportError:  # an extra that is not installed
            continue
        except (RuntimeError, ImproperlyConfigured):
            if "contrib" not in parts:  # which is for apps that this shop does not have
                raise


def held_by(owner: dict[str, Any], place: str, *, deep: bool = True) -> Iterator[Held]:
    for name, value in list(owner.items()):
        if isinstance(value, STATE):
            yield Held(f"{place}.{name}", owner, name, value)
        elif deep and type(value).__module__.startswith("mmsearch_app"):
            yield from held_by(getattr(value, "__dict__", {}), f"{place}.{name}", deep=False)


def held() -> list[Held]:
    return [found for module in modules() for found in held_by(vars(module), module.__name__)]


def test_every_lock_of_a_module_is_renewed() -> None:
    found = held()
    assert {"_building", "_pausing", "_starting"} <= {state.name for state in found}
    forgotten = [state.place for state in found]

    def check() -> bool:
        forgotten[:] = [state.place for state in found if not state.is_renewed()]
        os.write(2, "".join(f"not renewed: {place}\n" for place in forgotten).encode())
        return not forgotten

    assert works_in_child(check)


def test_a_forgotten_lock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmsearch_app, "_forgotten", threading.Lock(), raising=False)
    found = [state for state in held() if state.name == "_forgotten"]
    assert works_in_child(lambda: not found[0].is_renewed())


def constructed(node: ast.AST) -> set[str]:
    """Names of the locks and the like that an expression constructs."""
    names = {
        ast.unparse(found.func) if isinstance(found, ast.Call) else ast.unparse(found.value)
        for found in ast.walk(node)
        if isinstance(found, ast.Call)
        or (isinstance(found, ast.keyword) and found.arg == "default_factory")
    }
    names.discard("Condition")  # of a filter; that of threads is spelt with its module
    return {name.rpartition(".")[2] for name in names} & CONSTRUCTORS


def kept(node: ast.ClassDef) -> set[str]:
    """Names of the locks and the like that the objects of a class keep."""
    names = set()
    for statement in ast.walk(node):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if statement in node.body or any("self." in ast.unparse(t) for t in targets):
                names |= constructed(statement.value)
    return names


def forgetful_classes(source: str, module: str) -> list[str]:
    """Classes whose objects keep a lock or the like, and are not renewed after a fork."""
    return [
        f"{module}.{node.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
        and kept(node)
        and "renew_after_fork(self." not in ast.unparse(node)
    ]


def forgetful_caches(source: str, module: str) -> list[str]:
    """Cached functions that return a lock or the like, and are not cleared after a fork."""
    tree = ast.parse(source)
    return [
        f"{module}.{node.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any("cache" in ast.unparse(decorator) for decorator in node.decorator_list)
        and constructed(node)
        and f"{node.name}.cache_clear" not in source
    ]


def test_every_class_with_a_lock_renews_it_or_is_short_lived() -> None:
    found = [
        name
        for path in APP.rglob("*.py")
        for name in forgetful_classes(path.read_text(encoding="utf-8"), path.stem)
    ]
    assert set(found) ^ set(SHORT_LIVED) == set()


def test_every_cached_lock_is_dropped() -> None:
    found = [
        name
        for path in APP.rglob("*.py")
        for name in forgetful_caches(path.read_text(encoding="utf-8"), path.stem)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("planted", "find"),
    [
        ("class Pool:\n def __init__(self):\n  self.lock = threading.RLock()", forgetful_classes),
        ("class Pool:\n gate: Any = field(default_factory=Event)", forgetful_classes),
        ("@cache\ndef pool():\n return Semaphore(8)", forgetful_caches),
    ],
)
def test_a_planted_lock_is_found(planted: str, find: Any) -> None:
    assert len(find(planted, "module")) == 1


def test_no_cached_property_has_a_lock() -> None:
    """That of Python 3.11 has one for all objects, which a child could not renew."""
    users = [p.name for p in APP.rglob("*.py") if "from functools import cached" in p.read_text()]
    assert users == []
