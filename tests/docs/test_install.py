"""The ten lines that install the app make a shop that answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, collect

MODELS = """
from django.db import models

class Product(models.Model):
    title = models.CharField(max_length=80)

class ProductImage(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="images")
    original = models.ImageField(upload_to="pictures/")
"""
SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).parent
SECRET_KEY = "x"
USE_TZ = True
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "catalogue"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "shop.sqlite3",
                         "OPTIONS": {"transaction_mode": "IMMEDIATE"}}}
MEDIA_ROOT = BASE_DIR / "media"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
TRIAL = """
import django, io
django.setup()
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.template import Context, Template
from django.test import Client
from PIL import Image
from catalogue.models import Product, ProductImage
from mmsearch_app.testing import index_everything

call_command("check", fail_level="ERROR")
call_command("migrate", run_syncdb=True, verbosity=0)
for colour in ("red", "blue"):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "PNG")
    product = Product.objects.create(title=f"{colour} mug")
    file = ContentFile(file.getvalue(), "a.png")
    ProductImage.objects.create(product=product, original=file)
index_everything()
client = Client(headers={"host": "localhost"})
page = client.get("/find/", {"text": "blue mug"})
assert page.status_code == 200 and b"blue mug" in page.content, page.content
found = client.post("/api/mmsearch/v1/search/", {"text": "blue mug"}).json()
assert found["results"][0]["title"] == "blue mug", found
print(Template(TAGS).render(Context({"product": product})))
print("ANSWERED")
"""
STARTS = ("# settings.py", "# urls.py", "# catalogue/mmsearch.py")
INSTALLING = ("README.md", "docs/install.md")


def find(page: str, start: str) -> str:
    """The first block of the page that begins with this line."""
    blocks = (block for block in collect() if block.page == page)
    found: Block = next(block for block in blocks if block.text.startswith(start))
    return found.text


@pytest.mark.parametrize("page", INSTALLING)
def test_a_shop_is_installed_in_at_most_ten_lines(page: str) -> None:
    texts = [find(page, start) for start in STARTS]
    lines = [line for text in texts for line in text.splitlines()[1:] if line.strip()]
    assert len(lines) <= 10


def test_both_pages_install_alike() -> None:
    starts = [*STARTS, "{% load mmsearch %}"]
    readme, page = ([find(name, start) for start in starts] for name in INSTALLING)
    assert readme == page


def test_the_ten_lines_make_a_shop_that_answers(tmp_path: Path) -> None:
    (tmp_path / "catalogue").mkdir()
    files = {
        "settings.py": SETTINGS
        + find("README.md", "# settings.py")
        + 'MMSEARCH["EMBEDDER"] = {"BACKEND": "mmsearch_app.testing.TestingEmbedder"}\n'
        + 'MMSEARCH["WORKER_THREAD"] = False\nALLOWED_HOSTS = ["localhost"]\nDEBUG = True\n',
        "urls.py": "from django.urls import include, path\nurlpatterns = [\n"
        + find("README.md", "# urls.py")
        + "]\n",
        "catalogue/__init__.py": "",
        "catalogue/models.py": MODELS,
        "catalogue/mmsearch.py": find("README.md", "# catalogue/mmsearch.py"),
        "trial.py": f"TAGS = {find('README.md', '{% load mmsearch %}')!r}\n" + TRIAL,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    environment = {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "trial.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("ANSWERED\n"), done.stdout + done.stderr
    assert (tmp_path / "mmsearch.db").exists()
