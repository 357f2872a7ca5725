"""The core behaves the same on PostgreSQL and on MariaDB as on SQLite."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import mariadb, postgres
from tests.conftest import SUMMARIES
from tests.servers import ROOT

pytestmark = pytest.mark.skipif(
    "DATABASE_URL" in os.environ, reason="these tests run on the database of DATABASE_URL already"
)


def run_core(name: str, config: pytest.Config) -> None:
    run = subprocess.run(
        [sys.executable, "-m", f"tests.{name.lower()}", "-q", "--color=no"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "SHOP_DATA"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        pytest.fail(f"On {name}:\n{run.stdout}\n{run.stderr}", pytrace=False)
    config.stash[SUMMARIES].append(
        f"The tests of the core on {name}: {run.stdout.strip().splitlines()[-1]}"
    )


@pytest.mark.skipif(bool(postgres.find_obstacle()), reason=postgres.find_obstacle())
def test_every_test_of_the_core_passes_on_postgresql(pytestconfig: pytest.Config) -> None:
    run_core("Postgres", pytestconfig)


@pytest.mark.skipif(bool(mariadb.find_obstacle()), reason=mariadb.find_obstacle())
def test_every_test_of_the_core_passes_on_mariadb(pytestconfig: pytest.Config) -> None:
    run_core("MariaDB", pytestconfig)
