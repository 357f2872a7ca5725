"""Shops in separate processes, copied from one that was set up once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contrib.shop import Shop
from tests.shop import embedder, index, sell

__all__ = ["embedder", "index", "opened", "sell", "shared_cache", "shop_with"]


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an empty shop."""
    folder = tmp_path_factory.mktemp("shop")
    Shop(folder, "django_tasks_db").open()
    return folder


@pytest.fixture
def shop_with(opened: Path, tmp_path: Path) -> Callable[..., Shop]:
    """A new shop with these apps installed: `shop_with("mmsearch_app.contrib.celery")`."""

    def make(*apps: str, **environment: str) -> Shop:
        folder = tmp_path / "shop"
        shutil.copytree(opened, folder)
        return Shop(folder, *apps, **environment)

    return make


@pytest.fixture
def shared_cache(settings: Any, tmp_path: Path) -> None:
    """A cache that several processes share."""
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": tmp_path / "cache"}}
