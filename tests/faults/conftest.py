"""One shop, with its servers, for all faults."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from tests.faults.scene import Scene

RESULTS: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def _nothing_left_over() -> None:
    """Unlike in other tests, the shop and its index stay from test to test."""


@pytest.fixture(scope="session")
def scene(
    django_test_environment: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """No fixture of pytest-django: between faults nothing is rolled back and nothing flushed."""
    with django_db_blocker.unblock():
        databases = setup_databases(verbosity=0, interactive=False)
        name = connection.settings_dict["NAME"]
        with connection.cursor() as cursor:  # a crash must not lose what was committed
            cursor.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = on')
        connection.close()
        made = Scene(tmp_path_factory.mktemp("faults"))
        yield made
        made.close()
        teardown_databases(databases, verbosity=0)


@pytest.fixture(scope="session")
def results() -> Iterator[list[dict[str, Any]]]:
    """What the tests saw, written to MMSEARCH_FAULTS_RESULTS at the end if that is set."""
    yield RESULTS
    if path := os.environ.get("MMSEARCH_FAULTS_RESULTS"):
        Path(path).write_text(json.dumps(RESULTS, indent=1))
