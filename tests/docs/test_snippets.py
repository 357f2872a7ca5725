"""Every snippet of the documentation does what it says, in a shop made for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, collect

BLOCKS = list(collect())
HERE = [block for block in BLOCKS if not (block.excuse or block.shop)]
MOST_EXCUSES = 6
SHOP = Path(__file__).parent / "shop"


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The traceback of each snippet that failed. All of them run in one process."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join([str(SHOP), str(ROOT)]),
        "SHOP_FOLDER": str(tmp_path_factory.mktemp("shop")),
        "MILVUS_TOKEN": "root:secret",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.run_snippets"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("block", HERE, ids=lambda b: b.id)
def test_a_snippet_works(block: Block, faults: dict[str, str]) -> None:
    assert block.id not in faults, f"\n{block.text}\n{faults[block.id]}"


def test_the_other_snippets_run_in_a_shop_of_the_tests() -> None:
    shops = {folder.name for folder in (ROOT / "tests" / "shops").iterdir() if folder.is_dir()}
    assert {block.shop for block in BLOCKS if block.shop} <= shops


def test_few_snippets_are_not_run() -> None:
    excused = [f"{block.id}: {block.excuse}" for block in BLOCKS if block.excuse]
    assert len(excused) <= MOST_EXCUSES, "\n".join(excused)
