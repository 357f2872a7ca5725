"""`mmsearch_worker` as a process: signals, a hanging model, its limit and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch_app.inference.content import Content
from mmsearch_app.testing import TestingEmbedder
from tests.postgres import ROOT

SHOP = """
import json, os, sys
import django
from django.conf import settings
from mmsearch_app.testing import IN_MEMORY
settings.MMSEARCH = {**IN_MEMORY, **json.loads(os.environ["TEST_MMSEARCH"])}
django.setup()
from django.core.management import call_command, execute_from_command_line
call_command("migrate", run_syncdb=True, verbosity=0)
from example_shop.models import Product, ProductImage
from tests.shop import picture_file
product = Product.objects.create(title="red mug", sku="1", slug="1")
for side in range(32, 36):
    ProductImage.objects.create(product=product, original=picture_file(side=side))
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""
SLOW = {"BACKEND": "tests.management.test_worker_signals.SlowEmbedder"}
HANGING = {"BACKEND": "tests.management.test_worker_signals.HangingEmbedder"}


class SlowEmbedder(TestingEmbedder):
    """Says when it begins, and takes half a second."""

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        sys.stdout.write("embedding\n")
        sys.stdout.flush()
        threading.Event().wait(0.5)
        return super().embed_documents(contents)


class HangingEmbedder(SlowEmbedder):
    """Never returns, like a native library that waits for a device."""

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        super().embed_documents(contents)
        threading.Event().wait()
        raise AssertionError


class ForkingEmbedder(TestingEmbedder):
    """Ends processes of its own by signals, as pools do."""

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        for _ in range(2):
            child = os.fork()
            if not child:
                threading.Event().wait(60)
                os._exit(3)
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)
            if os.waitstatus_to_exitcode(status) != -signal.SIGTERM:
                raise RuntimeError(status)
        return super().embed_documents(contents)


Worker = Callable[..., Any]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Start `mmsearch_worker` in a shop with four waiting images."""
    script = tmp_path / "shop.py"
    script.write_text(SHOP)

    @contextmanager
    def start(*arguments: str, **settings: Any) -> Iterator[subprocess.Popen[str]]:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "SHOP_DATA": str(tmp_path),
            "DATABASE_URL": "",
            "PYTHONPATH": str(ROOT),
            "TEST_MMSEARCH": json.dumps({"BATCH_SIZE": 1, **settings}),
        }
        with subprocess.Popen(
            [sys.executable, "-u", str(script), "mmsearch_worker", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    return start


def wait_for(stream: IO[str] | None, text: str) -> None:
    """Read lines until one contains the text."""
    assert stream is not None
    while text not in (line := stream.readline()):
        assert line, f"{text} was not written"


def leased(folder: Path) -> int:
    """Images in the ledger of the shop that some worker has claimed."""
    import sqlite3

    (database,) = folder.glob("*.sqlite3")
    with sqlite3.connect(database) as connection:
        query = "SELECT COUNT(*) FROM mmsearch_app_entry WHERE lease_until IS NOT NULL"
        return int(connection.execute(query).fetchone()[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("arguments", [[], ["--once"]])
def test_the_first_signal_lets_the_batch_at_hand_finish(
    worker: Worker, tmp_path: Path, number: signal.Signals, arguments: list[str]
) -> None:
    with worker(*arguments, EMBEDDER=SLOW) as process:
        wait_for(process.stdout, "embedding")
        process.send_signal(number)
        told, errors = process.communicate(timeout=120)
    assert "1 indexed" in told
    assert "a second signal stops at once" in errors
    assert process.returncode == 0
    assert leased(tmp_path) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("arguments", [[], ["--once"]])
def test_the_second_signal_ends_a_worker_whose_model_hangs(
    worker: Worker, tmp_path: Path, number: signal.Signals, arguments: list[str]
) -> None:
    with worker(*arguments, EMBEDDER=HANGING) as process:
        wait_for(process.stdout, "embedding")
        assert leased(tmp_path) >= 1
        process.send_signal(number)
        wait_for(process.stderr, "a second signal")
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert leased(tmp_path) == 0


@pytest.mark.parametrize("arguments", [[], ["--once"]])
def test_a_worker_whose_model_hangs_ends_with_an_error(
    worker: Worker, tmp_path: Path, arguments: list[str]
) -> None:
    with worker(*arguments, EMBEDDER=HANGING, MODEL_SECONDS=1.0) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "The model has not answered for 1 seconds" in errors.splitlines()[-1]
    assert leased(tmp_path) == 0


def test_a_worker_ends_after_its_limit(worker: Worker) -> None:
    with worker("--limit", "3", BATCH_SIZE=2) as process:
        told, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "3 indexed" in told


@pytest.mark.parametrize("limit", ["0", "-1", "all"])
def test_a_limit_that_is_no_number_of_images_is_refused(worker: Worker, limit: str) -> None:
    with worker(f"--limit={limit}") as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "must be a whole number of images, at least 1" in errors


def test_a_worker_that_runs_once_fails_with_the_reason_of_an_outage(worker: Worker) -> None:
    index = {
        "BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex",
        "OPTIONS": {"uri": "http://127.0.0.1:9", "timeout": 1},
    }
    with worker("--once", INDEX=index) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Milvus at http://127.0.0.1:9" in errors.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["--limit=4"], ["--once"]])
def test_signals_to_children_of_a_worker_do_not_reach_it(
    worker: Worker, arguments: list[str]
) -> None:
    forking = {"BACKEND": "tests.management.test_worker_signals.ForkingEmbedder"}
    with worker(*arguments, EMBEDDER=forking) as process:
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "4 indexed" in told
    assert "signal" not in errors
