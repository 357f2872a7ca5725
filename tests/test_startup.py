"""The cost of having the app installed, and what it does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import ROOT

QUIET = """
import socket, sys

def refuse(*args, **options):
    raise AssertionError("a socket was opened")

socket.socket.connect = refuse
"""
HEAVY = {
    *("torch", "transformers", "sentence_transformers", "onnx", "onnxruntime"),
    *("pymilvus", "milvus_lite", "grpc"),
}
WITHOUT_REST_FRAMEWORK = """
import sys
sys.modules["rest_framework"] = None  # as if it were not installed
"""


def run(code: str, folder: Path) -> str:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SHOP_DATA": str(folder),
        "DATABASE_URL": "",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_starting_django_loads_no_model_and_opens_no_connection(tmp_path: Path) -> None:
    code = f"""{QUIET}
import mmsearch_app
assert "django" not in sys.modules
import django
django.setup()
print(sorted({HEAVY} & set(sys.modules)))
"""
    assert run(code, tmp_path) == "[]\n"


def test_system_checks_load_no_model_and_open_no_connection(tmp_path: Path) -> None:
    code = f"""{QUIET}
import django
from django.conf import settings
settings.MMSEARCH = {{}}
django.setup()
from django.core.management import call_command
call_command("check")
print(sorted({HEAVY} & set(sys.modules)))
"""
    assert run(code, tmp_path).endswith("[]\n")


def test_a_search_works_without_rest_framework(tmp_path: Path) -> None:
    code = f"""{WITHOUT_REST_FRAMEWORK}
import django
from django.conf import settings
assert "rest_framework" not in settings.INSTALLED_APPS
django.setup()
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from example_shop.models import Product, ProductImage
from tests.shop import picture_file
product = Product.objects.create(title="red mug", sku="1", slug="1")
ProductImage.objects.create(product=product, original=picture_file())
call_command("mmsearch_reindex", verbosity=0)
from mmsearch_app import search
print([hit.title for hit in search("red mug").hits])
from django.test import Client
print(Client(HTTP_HOST="localhost").get("/find/?text=mug").status_code)
assert not any(name.startswith("rest_framework.") for name in sys.modules)
"""
    assert "['red mug']\n200\n" in run(code, tmp_path)


@pytest.mark.django_db
def test_the_models_and_the_migrations_agree() -> None:
    from django.core.management import call_command

    call_command("makemigrations", "mmsearch_app", check=True, dry_run=True, verbosity=0)
