"""The models work in forked processes, whose parent's threads do not exist there."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from example_shop.catalogue import Item
from mmsearch_app.embedders.starter.embedder import StarterEmbedder
from mmsearch_app.inference import Content
from tests import fresh
from tests.embedders.starter.parts import needs_weights, picture
from tests.forking import works_in_child

pytestmark = [
    needs_weights,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]
TELEMETRY = "ORT_DISABLE_TELEMETRY"
LEAVE = """
import os, sys, warnings
warnings.simplefilter("ignore")
from mmsearch_app.embedders.starter import StarterEmbedder
from mmsearch_app.inference import Content
from PIL import Image
embedder = StarterEmbedder(threads=2)
asked = [Content(image=Image.new("RGB", (32, 32), "red"), text="a mug")]
embedder.embed_queries(asked)
for work in ("pass", "embedder.warm_up()", "del embedder"):
    child = os.fork()
    if child == 0:
        exec(work)
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


BATCH = """
from pathlib import Path
from PIL import Image
from mmsearch_app.embedders.starter import StarterEmbedder
from mmsearch_app.inference import Content, return_memory
def resident():
    return_memory()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
embedder = StarterEmbedder(threads=1, batch_size=32)
images = [Content(image=Image.new("RGB", (224, 224), "red"))] * 32
embedder.embed_documents(images[:1])
before = resident()
embedder.embed_documents(images)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_what_a_batch_takes_is_given_back() -> None:
    kept = int(fresh.run(BATCH)) * 1024
    assert kept < 100e6  # a pool of ONNX Runtime's own would keep 350 MB


def test_a_forked_child_gets_the_same_vectors(goods: list[Item]) -> None:
    embedder = StarterEmbedder(threads=2)
    asked = [Content(image=picture(item), text="but striped") for item in goods[:2]]
    expected = embedder.embed_queries(asked)
    assert works_in_child(lambda: np.allclose(embedder.embed_queries(asked), expected, atol=1e-6))
    np.testing.assert_allclose(embedder.embed_queries(asked), expected, atol=1e-6)


def test_a_forked_child_can_exit_whether_it_used_the_models_or_freed_them() -> None:
    environment = {name: value for name, value in os.environ.items() if name != TELEMETRY}
    done = subprocess.run([sys.executable, "-c", LEAVE], env=environment, timeout=120, check=False)
    assert done.returncode == 0


def test_onnx_runtime_is_told_to_send_no_usage_data_before_it_is_imported() -> None:
    code = (
        "import os, sys\nfrom importlib.abc import MetaPathFinder\n"
        f"os.environ.pop({TELEMETRY!r}, None)\n"
        "class Finder(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == 'onnxruntime': print(os.environ[{TELEMETRY!r}])\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import mmsearch_app.embedders.starter.models"
    )
    assert fresh.run(code) == "1\n"
