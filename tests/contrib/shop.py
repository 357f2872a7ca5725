"""A shop that runs in separate processes: web processes and workers of a queue."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.postgres import ROOT

SECONDS = 300
"""A process or a wait that takes longer has failed."""
OPENING = """
import django
django.setup()
from example_shop.models import Product, ProductImage
from mmsearch_app.models import Entry
from tests.shop import picture_file

def sell(number):
    product = Product.objects.create(title="mug", sku=str(number), slug=str(number))
    return ProductImage(product=product, original=picture_file(side=32 + number))
"""


class Shop:
    """A shop with its database, images, cache and messages in `folder`."""

    def __init__(self, folder: Path, *apps: str, **environment: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.contrib.settings",
            "DATABASE_URL": "",
            "SHOP_DATA": str(folder),
            "SHOP_APPS": " ".join(apps),
            **environment,
        }

    def open(self) -> None:
        """Create the tables."""
        self.run(
            "from django.core.management import call_command\n"
            "call_command('migrate', run_syncdb=True)"
        )

    def run(self, code: str) -> str:
        """Run code in a process where Django is set up; returns what it prints."""
        done = self.start("-c", OPENING + code)
        out, err = done.communicate(timeout=SECONDS)
        assert done.returncode == 0, err
        return out

    def fail(self, code: str) -> str:
        """Run code that must fail; returns its error output."""
        done = self.start("-c", code)
        _, err = done.communicate(timeout=SECONDS)
        assert done.returncode == 1
        return err

    def start(self, *arguments: str, error: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start Python with warnings as errors, except for Celery's warning about root."""
        warnings = ("-W", "error", "-W", "ignore:You're running the worker")
        return subprocess.Popen(
            [sys.executable, *warnings, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=error,
            text=True,
        )

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[Callable[[Callable[[], bool]], None]]:
        """Run a worker during the block; yields a function that waits until a condition is true.

        Fails if the worker exits during a wait, or not with 0 after SIGTERM. It writes to `log`.
        """
        with self.log.open("w") as log, self.start(*arguments, error=log) as process:

            def wait_until(true: Callable[[], bool]) -> None:
                deadline = time.monotonic() + SECONDS
                while not true():
                    assert process.poll() is None, self.log.read_text()
                    assert time.monotonic() < deadline, self.log.read_text()
                    time.sleep(0.05)

            try:
                yield wait_until
            finally:
                process.terminate()
                killer = threading.Timer(SECONDS, process.kill)
                killer.start()
                process.communicate()
                killer.cancel()
        assert process.returncode == 0, self.log.read_text()

    @property
    def log(self) -> Path:
        """The file with the worker's output."""
        return self.folder / "worker.log"

    def states(self) -> list[str]:
        """The states of all entries, read without Django."""
        with closing(sqlite3.connect(self.folder / "shop.sqlite3", timeout=SECONDS)) as database:
            rows = database.execute("SELECT state FROM mmsearch_app_entry").fetchall()
        return [state for (state,) in rows]

    def messages(self) -> list[Path]:
        """The messages waiting at the broker."""
        return sorted((self.folder / "messages").glob("*.msg"))
