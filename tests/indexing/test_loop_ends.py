"""The process ends while its indexing thread works."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.inference.content import Content
from mmsearch_app.testing import TestingEmbedder
from tests.postgres import ROOT

SHOP = """
import django
from django.conf import settings
from mmsearch_app.testing import IN_MEMORY
embedder = {"BACKEND": "tests.indexing.test_loop_ends.SlowEmbedder"}
settings.MMSEARCH = {**IN_MEMORY, "EMBEDDER": embedder, "WORKER_THREAD": True, "BATCH_SIZE": 1}
django.setup()
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from example_shop.models import Product, ProductImage
from tests.shop import picture_file
product = Product.objects.create(title="red mug", sku="1", slug="1")
for side in range(32, 35):
    ProductImage.objects.create(product=product, original=picture_file(side=side))
from django.test import Client
Client(HTTP_HOST="localhost").get("/admin/login/")
from tests.indexing.test_loop_ends import SlowEmbedder
assert SlowEmbedder.begun.wait(300)
"""


class SlowEmbedder(TestingEmbedder):
    """Slow enough for the process to end during the call."""

    begun = threading.Event()

    def embed_documents(self, contents: Sequence[Content]) -> NDArray[np.float32]:
        self.begun.set()
        time.sleep(0.5)
        return super().embed_documents(contents)


def test_the_current_batch_is_finished_cleanly(tmp_path: Path) -> None:
    environment: dict[str, Any] = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SHOP_DATA": str(tmp_path),
        "DATABASE_URL": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", SHOP],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
