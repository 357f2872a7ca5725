"""The tests of a shop leave its own index alone and start no worker thread."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from mmsearch_app import search
from mmsearch_app.backends import get_embedder, get_index, get_reranker
from mmsearch_app.conf import get_settings
from mmsearch_app.indexes.memory import MemoryIndex
from mmsearch_app.testing import (
    IN_MEMORY,
    TestingEmbedder,
    as_configured,
    index_everything,
    search_in_memory,
)
from tests.servers import ROOT
from tests.shop import Sell

FILES = {
    "manage.py": """
        import os, sys
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        from django.core.management import execute_from_command_line
        execute_from_command_line(sys.argv)
    """,
    "settings.py": """
        from pathlib import Path
        BASE_DIR = Path(__file__).parent
        SECRET_KEY = "x"
        USE_TZ = True
        ALLOWED_HOSTS = ["*"]
        ROOT_URLCONF = "urls"
        INSTALLED_APPS = [
            "django.contrib.contenttypes", "django.contrib.auth", "mmsearch_app", "catalogue",
        ]
        DATABASES = {"default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": BASE_DIR / "shop.sqlite3",
            "OPTIONS": {"transaction_mode": "IMMEDIATE"},
            "TEST": {"NAME": BASE_DIR / "test.sqlite3"},
        }}
        MEDIA_ROOT = BASE_DIR / "media"
        TEMPLATES = [{
            "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
        }]
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        MMSEARCH = {
            "EMBEDDER": {"BACKEND": "catalogue.models.Loud"},
            "INDEX": {
                "BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex",
                "OPTIONS": {"uri": str(BASE_DIR / "milvus.db")},
            },
            "WORKER_THREAD": True,
            "POLL_SECONDS": 0.01,
        }
    """,
    "urls.py": """
        from django.urls import include, path
        urlpatterns = [path("find/", include("mmsearch_app.urls"))]
    """,
    "catalogue/__init__.py": "",
    "catalogue/models.py": """
        from django.conf import settings
        from django.db import models
        from mmsearch_app.testing import TestingEmbedder

        class Product(models.Model):
            title = models.CharField(max_length=80)
            picture = models.ImageField(upload_to="pictures/")

            def get_absolute_url(self):
                return f"/{self.pk}/"

        class Loud(TestingEmbedder):
            def embed_documents(self, contents):
                (settings.BASE_DIR / "embedded").touch()
                return super().embed_documents(contents)
    """,
    "catalogue/mmsearch.py": """
        from mmsearch_app import ImageSource, register

        @register("catalogue.Product")
        class Products(ImageSource):
            image, title = "picture", "title"
    """,
    "catalogue/tests.py": """
        import io
        import threading
        import time

        from django.core.files.base import ContentFile
        from django.test import TestCase, TransactionTestCase
        from PIL import Image

        from catalogue.models import Product
        from mmsearch_app import search
        from mmsearch_app.models import Entry
        from mmsearch_app.testing import index_everything

        def sell(colour):
            file = io.BytesIO()
            Image.new("RGB", (64, 64), colour).save(file, "PNG")
            picture = ContentFile(file.getvalue(), f"{colour}.png")
            return Product.objects.create(title=f"{colour} mug", picture=picture)

        class Promises:
            def test_a_page_starts_no_thread_and_works_nothing_off(self):
                sell("red")
                for _ in range(3):
                    self.assertEqual(self.client.get("/find/", {"text": "mug"}).status_code, 200)
                    time.sleep(0.05)
                names = [thread.name for thread in threading.enumerate()]
                self.assertNotIn("mmsearch-worker", names)
                self.assertEqual(Entry.objects.get().state, "pending")

            def test_products_are_found_when_a_test_indexes_them(self):
                blue = sell("blue")
                index_everything()
                self.assertEqual([hit.product for hit in search(text="mug").hits], [blue])

            def test_products_of_other_tests_are_not_found(self):
                green = sell("green")
                index_everything()
                self.assertEqual([hit.product for hit in search(text="mug").hits], [green])
                self.assertEqual([hit.title for hit in search(text="mug").hits], ["green mug"])

        class InTransactions(Promises, TestCase):
            pass

        class WithoutTransactions(Promises, TransactionTestCase):
            pass
    """,
}
STOCK = """
import django
django.setup()
from django.core.management import call_command
from catalogue.tests import sell
call_command("migrate", run_syncdb=True, verbosity=0)
for colour in ("red", "blue"):
    sell(colour)
call_command("mmsearch_reindex", verbosity=0)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with two products in the Milvus Lite file that its settings name."""
    folder = tmp_path_factory.mktemp("shop")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        lines = text.strip("\n").splitlines()
        path.write_text("\n".join(line.removeprefix("        ") for line in lines))
    run(folder, "-c", STOCK, DJANGO_SETTINGS_MODULE="settings")
    assert (folder / "embedded").exists()
    (folder / "embedded").unlink()
    return folder


def run(folder: Path, *arguments: str, **more: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name[:6] != "PYTEST"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), **more}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def contents(folder: Path) -> dict[str, str]:
    """The hash of each file of the index and of the shop's database."""
    files = [*(folder / "milvus.db").rglob("*"), folder / "shop.sqlite3"]
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()
    }


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "test", "-v2", "--noinput"],
        ["manage.py", "test", "-v2", "--noinput", "--parallel=2"],
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "catalogue/tests.py", "--create-db"],
    ],
    ids=["manage.py test", "in parallel", "pytest-django"],
)
def test_the_live_index_is_untouched(shop: Path, command: list[str]) -> None:
    before = contents(shop)
    assert any("milvus.db" in path for path in before)
    output = run(shop, *command, DJANGO_SETTINGS_MODULE="settings")
    assert "Traceback" not in output
    if "test" in command:
        assert "Ran 6 tests" in output
        assert "Destroying test database" in output
        assert "mmsearch_app.W" not in output
    assert contents(shop) == before
    assert not (shop / "embedded").exists()
    assert not list(shop.glob("test*.sqlite3*"))


# What replaces the parts


LIVE = {
    "EMBEDDER": "starter",
    "INDEX": {
        "BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex",
        "OPTIONS": {"uri": "http://milvus.invalid:19530"},
    },
    "RERANKER": {"BACKEND": "mmsearch_app.rerankers.llvm.VisionReranker"},
    "WORKER_THREAD": True,
    "LIMIT": 7,
}


@pytest.fixture
def of_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set MMSEARCH as the settings module would."""
    from django.conf import UserSettingsHolder
    from django.conf import settings as lazy

    def change(value: Any) -> None:
        layer: Any = vars(lazy)["_wrapped"]
        while isinstance(layer, UserSettingsHolder):
            vars(layer).pop("MMSEARCH", None)
            layer = layer.default_settings
        monkeypatch.setattr(layer, "MMSEARCH", value)
        from mmsearch_app.testing import reset

        reset()

    return change


def test_parts_of_production_are_replaced_and_other_keys_kept(of_module: Any) -> None:
    of_module(LIVE)
    assert isinstance(get_index(), MemoryIndex)
    assert isinstance(get_embedder(), TestingEmbedder)
    assert get_reranker() is None
    assert not get_settings().WORKER_THREAD
    assert get_settings().LIMIT == 7


def test_the_settings_may_say_what_tests_use(of_module: Any) -> None:
    of_module({**LIVE, "TEST": {"INDEX": LIVE["INDEX"], "LIMIT": 3}})
    assert not isinstance(get_index(), MemoryIndex)
    assert isinstance(get_embedder(), TestingEmbedder)
    assert get_settings().LIMIT == 3


def test_settings_with_an_index_in_memory_are_meant_for_tests(of_module: Any) -> None:
    of_module({**IN_MEMORY, "EMBEDDER": "starter", "WORKER_THREAD": True})
    assert get_settings().EMBEDDER.PRESET == "starter"
    assert not get_settings().WORKER_THREAD


def test_a_test_may_ask_for_the_parts_of_production(of_module: Any) -> None:
    of_module(LIVE)
    with as_configured():
        assert get_settings().EMBEDDER.PRESET == "starter"
        assert get_settings().WORKER_THREAD
        assert not isinstance(get_index(), MemoryIndex)
    assert isinstance(get_index(), MemoryIndex)
    with as_configured(WORKER_THREAD=False):
        assert not get_settings().WORKER_THREAD
    with override_settings(MMSEARCH=LIVE):
        assert get_settings().WORKER_THREAD


def test_without_a_test_runner_nothing_is_replaced(
    of_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_module(LIVE)
    replaced = get_index()
    monkeypatch.delattr("django.test.utils._TestState.saved_data")
    assert get_settings().WORKER_THREAD
    assert get_index() is not replaced
    assert get_settings().EMBEDDER.PRESET == "starter"


@pytest.mark.parametrize("value", [3, {"NOPE": 1}, {"TEST": {}}, {"LIMIT": 0}])
def test_a_wrong_value_is_refused(of_module: Any, value: Any) -> None:
    from django.core.exceptions import ImproperlyConfigured

    of_module({**LIVE, "TEST": value})
    with pytest.raises(ImproperlyConfigured, match=r"MMSEARCH\['(TEST|LIMIT)'\]"):
        get_settings()


@pytest.mark.django_db
def test_an_index_of_its_own_for_a_block(sell: Sell) -> None:
    sell("red mug")
    index_everything()
    assert search("red mug").hits
    with search_in_memory(LIMIT=1):
        assert get_settings().LIMIT == 1
        assert not search("red mug").hits
    assert not [thread for thread in threading.enumerate() if thread.name == "mmsearch-worker"]
