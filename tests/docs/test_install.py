"""The README's tables match the code, and its snippets run."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")

MODELS = """
from django.db import models

class Product(models.Model):
    title = models.CharField(max_length=80)

class ProductImage(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="images")
    original = models.ImageField(upload_to="pictures/")
"""
SETTINGS = """
SECRET_KEY = "x"
USE_TZ = True
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "catalogue"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3",
                         "OPTIONS": {"transaction_mode": "IMMEDIATE"}}}
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
    picture = ContentFile(file.getvalue(), "a.png")
    ProductImage.objects.create(product=product, original=picture)
index_everything()
client = Client(headers={"host": "localhost"})
page = client.get("/search/", {"text": "blue mug"})
assert page.status_code == 200 and b"blue mug" in page.content, page.content
found = client.post("/api/mmsearch/v1/search/", {"text": "blue mug"}).json()
assert found["results"][0]["title"] == "blue mug", found
print(Template(TAGS).render(Context({"product": product})))
print("ANSWERED")
"""


def snippet(start: str) -> str:
    """The code block of the README that begins with the given line."""
    for block in re.findall(r"```\w*\n(.*?)```", README, flags=re.DOTALL):
        if block.startswith(start):
            return str(block)
    raise AssertionError(f"The README has no snippet that begins with {start!r}")


def test_tables_match_the_code() -> None:
    done = subprocess.run([sys.executable, "docs/tables.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run: python docs/tables.py"


def test_a_shop_is_installed_in_at_most_ten_lines() -> None:
    starts = ("# settings.py", "# urls.py", "# catalogue/mmsearch.py")
    lines = [line for start in starts for line in snippet(start).splitlines()[1:] if line.strip()]
    assert len(lines) <= 10


def test_the_ten_lines_make_a_shop_that_answers(tmp_path: Path) -> None:
    (tmp_path / "catalogue").mkdir()
    files = {
        "settings.py": SETTINGS
        + snippet("# settings.py")
        + 'MMSEARCH["EMBEDDER"] = {"BACKEND": "mmsearch_app.testing.TestingEmbedder"}\n'
        + 'MMSEARCH["WORKER_THREAD"] = False\nALLOWED_HOSTS = ["localhost"]\nDEBUG = True\n',
        "urls.py": "from django.urls import include, path\nurlpatterns = [\n"
        + snippet("# urls.py")
        + "]\n",
        "catalogue/__init__.py": "",
        "catalogue/models.py": MODELS,
        "catalogue/mmsearch.py": snippet("# catalogue/mmsearch.py"),
        "trial.py": f"TAGS = {snippet('{% load mmsearch %}')!r}\n" + TRIAL,
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


def test_every_snippet_is_python_that_compiles() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) > 5
    for block in blocks:
        code = textwrap.dedent(block)
        if code.lstrip().startswith("# urls.py"):
            code = f"urlpatterns = [{code}\n]"
        compile(code, "README.md", "exec")
