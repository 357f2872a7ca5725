"""The wheel as a shop installs it, without this repository."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SHOP = """
import django
from django.conf import settings

settings.configure(
    BASE_DIR=".",
    SECRET_KEY="x",
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mmsearch_app"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    MMSEARCH={"INDEX": {"BACKEND": "mmsearch_app.indexes.milvus.MilvusIndex",
                        "OPTIONS": {"uri": "index.db"}},
              "EMBEDDER": {"BACKEND": "mmsearch_app.testing.TestingEmbedder"}},
)
django.setup()
from django.core.management import call_command
from django.template.loader import get_template
from mmsearch_app import ImageSource, register

@register("auth.User")
class Portraits(ImageSource):
    image = "portrait"


call_command("migrate", verbosity=0)
call_command("makemigrations", "mmsearch_app", check=True, dry_run=True, verbosity=0)
get_template("mmsearch/search.html")
call_command("mmsearch_reindex", verbosity=0)
call_command("mmsearch_check")
import mmsearch_app
print("FROM", mmsearch_app.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_contains_only_the_app(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mmsearch_app"}
    assert "mmsearch_app/py.typed" in names
    assert any(name.endswith(".html") for name in names)
    assert any(name.endswith(".css") for name in names)
    assert "mmsearch_app/locale/de/LC_MESSAGES/django.mo" in names


def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True, capture_output=True)
    # Dependencies come from the current environment; PYTHONPATH does not add editable installs.
    paths = {"PYTHONPATH": sysconfig.get_path("purelib"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [python, "-c", SHOP], cwd=tmp_path, env=paths, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"FROM {environment}" in done.stdout
