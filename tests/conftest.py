"""Rules for every test: only local connections, no state from other tests, no silent skips."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_socket
from django.conf import settings as django_settings
from django.core.cache import cache
from django.utils import translation

from mmsearch_app.testing import reset

pytest_plugins = ["tests.shop", "tests.gadgets"]

REQUIRE_ALL = os.environ.get("MMSEARCH_REQUIRE_ALL", "") not in ("", "0")
"""Set if every test must run, as in continuous integration: a skip is then a failure."""
SUMMARIES = pytest.StashKey[list[str]]()
UNINSTALLED = {
    "open_clip": "OpenCLIP (pip install 'mmsearch[open-clip]')",
    "torchvision": "Qwen3-VL (pip install torchvision)",
}
"""Modules that the extra `dev` does not install; tests that need one carry its name as a marker."""
SHOPS = Path(__file__).parent / "shops"
"""Tests that need the environment and the settings of `make test-shops`."""
SHOPS_LEFT_OUT = pytest.StashKey[bool]()
LEFT_OUT = pytest.StashKey[dict[str, int]]()
NOTES = pytest.StashKey[dict[str, None]]()
FIRST = ("tests/test_servers.py", "tests/indexes/", "tests/embedders/", "tests/rerankers/")
"""The slowest tests start first, so that all processes end at about the same time."""

if "PYTEST_XDIST_WORKER" in os.environ:
    # The models are tiny, and torch's threads would take the cores from the other processes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _block_network() -> Iterator[None]:
    """Allow connections to this machine only."""
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    yield
    pytest_socket._remove_restrictions()


@pytest.fixture(autouse=True)
def _nothing_left_over(settings: Any, tmp_path: Path) -> Iterator[None]:
    """A media folder, a cache, an index and a language of the test's own."""

    settings.MEDIA_ROOT = tmp_path / "media"
    reset()
    cache.clear()
    yield
    reset()
    cache.clear()
    translation.deactivate()  # a request leaves its language active in the thread


@pytest.fixture
def use(settings: Any) -> Callable[..., None]:
    """Change keys of MMSEARCH before anything is indexed."""
    from mmsearch_app.testing import IN_MEMORY

    def change(**keys: Any) -> None:
        settings.MMSEARCH = {**IN_MEMORY, **settings.MMSEARCH, **keys}

    return change


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-database", action="store_true", help="leave out tests that use no database"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the tests in real shops, which have settings of their own."""
    if collection_path != SHOPS:
        return None
    config.stash[SHOPS_LEFT_OUT] = True
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests for the other database, and for libraries that are not installed."""
    sqlite = django_settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
    lacking = [name for name in UNINSTALLED if importlib.util.find_spec(name) is None]
    absent = {"row_locks" if sqlite else "sqlite", *lacking}
    if not django_settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        absent.add("arrays")
    if "faults" not in config.option.markexpr:
        absent.add("faults")
    left_out = [item for item in items if any(map(item.get_closest_marker, absent))]
    if config.getoption("only_database"):
        left_out += [item for item in items if not _uses_database(item)]
    items[:] = [item for item in items if item not in set(left_out)]
    config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = {
        name: len([item for item in left_out if item.get_closest_marker(name)]) for name in lacking
    }
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SUMMARIES] = []


def _uses_database(item: pytest.Item) -> bool:
    fixtures = {"db", "transactional_db"}.intersection(getattr(item, "fixturenames", ()))
    return bool(fixtures) or item.get_closest_marker("django_db") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure if every test must run."""
    report = yield
    if report.skipped and REQUIRE_ALL and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"MMSEARCH_REQUIRE_ALL is set, but this test was skipped: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a module that is skipped as a whole into a failure if every test must run."""
    report = yield
    if report.skipped and REQUIRE_ALL:
        report.outcome = "failed"
        report.longrepr = f"MMSEARCH_REQUIRE_ALL is set, but this was skipped: {report.longrepr}"
    return report


def _notes(config: pytest.Config) -> list[str]:
    """The tests that were deselected, and the results of the tests on other databases."""
    notes = [
        f"Skipped {count} tests of {UNINSTALLED[module]}. They need torchvision, which is not "
        "built for every torch."
        for module, count in config.stash.get(LEFT_OUT, {}).items()
        if count
    ]
    if config.stash.get(SHOPS_LEFT_OUT, False):
        notes.append("The tests in a real django-oscar and a real Wagtail: make test-shops.")
    return notes + config.stash.get(SUMMARIES, [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """If this is a process of pytest-xdist, send its notes to the process that reports."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["notes"] = _notes(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the notes of a process of pytest-xdist."""
    said = node.config.stash.setdefault(NOTES, {})
    said.update(dict.fromkeys(getattr(node, "workeroutput", {}).get("notes", [])))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Report the tests that were deselected, and the results of the tests on other databases."""
    for note in [*config.stash.get(NOTES, {}), *_notes(config)]:
        terminalreporter.write_line(note)
