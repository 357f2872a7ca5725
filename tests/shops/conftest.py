"""Rules for every test in a real shop: only local connections, no state from other tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_socket
from django.conf import settings as django_settings
from django.core.cache import cache
from django.utils import translation

from mmsearch_app.testing import reset
from tests.shops.editor import Editor


@pytest.fixture(autouse=True)
def _block_network() -> Iterator[None]:
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    yield
    pytest_socket._remove_restrictions()


@pytest.fixture(autouse=True)
def _nothing_left_over(settings: Any, tmp_path: Path) -> Iterator[None]:
    """A media folder, a cache and a collection of the test's own, all in one Milvus Lite file."""
    settings.MEDIA_ROOT = tmp_path / "media"
    given: Any = django_settings.MMSEARCH
    index = given["INDEX"]
    options = {**index["OPTIONS"], "collection": tmp_path.name.replace("-", "_")[:60]}
    settings.MMSEARCH = {**given, "INDEX": {**index, "OPTIONS": options}}
    cache.clear()
    yield
    reset()
    cache.clear()
    translation.deactivate()


@pytest.fixture
def editor(db: None) -> Editor:
    return Editor.sign_in()
