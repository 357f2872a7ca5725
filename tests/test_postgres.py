"""The core behaves the same on PostgreSQL as on SQLite."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import POSTGRES_SUMMARY
from tests.postgres import ROOT, find_binaries


@pytest.mark.skipif(
    "DATABASE_URL" in os.environ, reason="these tests run on the database of DATABASE_URL already"
)
@pytest.mark.skipif(
    find_binaries() is None,
    reason="PostgreSQL is not installed, so the core was tried on SQLite only: "
    "apt-get install postgresql",
)
def test_every_test_of_the_core_passes_on_postgresql(pytestconfig: pytest.Config) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.postgres", "-q", "--color=no"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "SHOP_DATA"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        pytest.fail(f"On PostgreSQL:\n{run.stdout}\n{run.stderr}", pytrace=False)
    pytestconfig.stash[POSTGRES_SUMMARY] = run.stdout.strip().splitlines()[-1]
